"""Lookups in the file system, compared with a local one over the same folder, and their number of requests."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filesystems import Fs, Requests, WandbFileSystem, fsspec
from filesystems import environment as environment
from filesystems import fs as fs
from filesystems import requests as requests

from wbfiles_async import AuthenticationError
from wbfiles_async._fsspec import lookups
from wbfiles_async._models import RunPath
from wbfiles_async.testing import LocalServer

PROJECT = "team/vision"
NAMES = ("config.yaml", "media/images/a.png", "media/images/b.png", "media/table.json", "wandb-summary.json")


@pytest.fixture
def served(environment: LocalServer) -> LocalServer:
    for run in ("run0", "run1", "other"):
        for name in NAMES:
            environment.add_file(f"{PROJECT}/{run}", name, f"{name} of {run}".encode())
    environment.add_file("team/speech/run0", "[odd] name?*.txt", b"odd")
    environment.add_file("team/speech/run0", "odd name.txt", b"plain")
    environment.add_file("team/speech/run0", "Media/a.txt", b"capital")
    environment.add_file("team/speech/run0", "media/a.txt", b"small")
    environment.add_run(f"{PROJECT}/empty")
    return environment


def test_fsspec_finds_it_by_both_names(served: LocalServer) -> None:
    for protocol in ("wandb", "wbfiles"):
        fs = fsspec.filesystem(protocol)
        assert type(fs) is WandbFileSystem
        assert fs is WandbFileSystem(), "one instance serves both"
        with fsspec.open(f"{protocol}://{PROJECT}/run0/config.yaml") as file:
            assert file.read() == b"config.yaml of run0"
    assert fsspec.url_to_fs(f"wandb://{PROJECT}/run0/")[1] == f"{PROJECT}/run0"


class TestFolders:
    def test_each_level_is_listed(self, served: LocalServer, fs: Fs, requests: Requests) -> None:
        assert fs.ls("wandb://", detail=False) == ["local"], "the default entity, and teams"
        assert fs.ls("wandb://team", detail=False) == ["team/speech", PROJECT]
        assert fs.ls(PROJECT, detail=False) == [f"{PROJECT}/{run}" for run in ("empty", "other", "run0", "run1")]
        assert fs.ls(f"{PROJECT}/run0/", detail=False) == [
            f"{PROJECT}/run0/{name}" for name in ("config.yaml", "media", "wandb-summary.json")
        ]
        assert fs.ls(f"/{PROJECT}/run0/media/images", detail=False) == [
            f"{PROJECT}/run0/media/images/{name}" for name in ("a.png", "b.png")
        ]
        assert fs.ls(f"{PROJECT}/empty") == []
        assert requests() == {"Viewer": 1, "GetProjects": 1, "Runs": 1, "RunFiles": 2}
        fs.ls(PROJECT)
        fs.ls(f"{PROJECT}/run0/media")
        assert requests() == {}, "they are remembered"
        fs.ls(PROJECT, refresh=True)
        fs.ls(f"{PROJECT}/run0/media", refresh=True)
        assert requests() == {"Runs": 1, "RunFiles": 1}

    def test_details(self, served: LocalServer, fs: Fs) -> None:
        info = fs.info(f"{PROJECT}/run0/media/table.json")
        assert (info["name"], info["size"], info["type"]) == (f"{PROJECT}/run0/media/table.json", 24, "file")
        assert info == next(each for each in fs.ls(f"{PROJECT}/run0/media") if each["type"] == "file")
        assert isinstance(info["mtime"], datetime)
        assert info["mtime"].tzinfo is UTC
        assert fs.modified(info["name"]) == info["mtime"]
        assert len(info["md5"]) == 24
        (run,) = [each for each in fs.ls(PROJECT) if each["name"].endswith("run0")]
        assert (run["type"], run["display_name"], run["state"]) == ("directory", "run0", "finished")
        assert fs.info(run["name"]) == run
        with pytest.raises(NotImplementedError):
            fs.modified(PROJECT)

    def test_file_is_listed_as_itself(self, served: LocalServer, fs: Fs) -> None:
        path = f"{PROJECT}/run0/config.yaml"
        assert fs.ls(path) == [fs.info(path)]
        assert fs.find(path) == [path]
        assert fs.find(path, detail=True) == {path: fs.info(path)}

    @pytest.mark.parametrize(
        "path", ["nobody", "team/no", f"{PROJECT}/no", f"{PROJECT}/run0/no", "team//run0", f"{PROJECT}/run0/media/no/x"]
    )
    def test_missing_paths(self, served: LocalServer, fs: Fs, path: str) -> None:
        for call in (fs.ls, fs.info, fs.cat_file, fs.open):
            with pytest.raises(FileNotFoundError) as caught:
                call(path)
            assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, path)
        assert not fs.exists(path)
        assert not fs.isdir(path)
        assert not fs.isfile(path)
        if "//" not in path:
            assert fs.find(path) == fs.glob(f"{path}/*") == []

    def test_server_failure_is_not_a_missing_file(
        self, served: LocalServer, fs: Fs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
        for call in (fs.exists, fs.isdir, fs.isfile, fs.find, fs.glob):
            with pytest.raises(AuthenticationError):
                call(f"{PROJECT}/run0/*" if call == fs.glob else f"{PROJECT}/run0")


class TestRequests:
    def test_file_is_looked_up_by_its_name(self, served: LocalServer, fs: Fs, requests: Requests) -> None:
        for number in range(50):
            served.add_file(f"{PROJECT}/run0", f"many/{number}", b"x")
        assert fs.info(f"{PROJECT}/run0/many/7")["size"] == 1
        assert requests() == {"RunFiles": 1}
        assert fs.info(f"{PROJECT}/run0/many")["type"] == "directory"
        assert requests() == {"RunFiles": 2}

    def test_files_requested_together_are_looked_up_together(
        self, served: LocalServer, fs: Fs, requests: Requests, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lookups, "MOST_NAMES", 3)
        paths = [f"{PROJECT}/{run}/{name}" for run in ("run0", "run1") for name in NAMES]
        assert fs.cat(paths) == {path: f"{path[17:]} of {path[12:16]}".encode() for path in paths}
        assert requests() == {"RunFiles": 4, "store": len(paths)}

    def test_finding_is_one_walk(self, served: LocalServer, fs: Fs, requests: Requests) -> None:
        assert fs.find(f"{PROJECT}/run0") == [f"{PROJECT}/run0/{name}" for name in NAMES]
        assert requests() == {"RunFiles": 1}
        everything = [f"{PROJECT}/{run}/{name}" for run in ("other", "run0", "run1") for name in NAMES]
        assert fs.find(PROJECT) == everything
        assert requests() == {"Runs": 1}, "one request lists many runs with their files"
        for info in fs.find(PROJECT, detail=True, withdirs=True).values():
            assert fs.info(info["name"]) == info or info["name"] in (PROJECT, *fs.ls(PROJECT, detail=False))

    def test_walk_over_a_project_fills_the_cache(self, served: LocalServer, fs: Fs, requests: Requests) -> None:
        fs.find(PROJECT)
        requests()
        for run in ("run0", "other"):
            assert len(fs.ls(f"{PROJECT}/{run}/media")) == 2
            assert fs.info(f"{PROJECT}/{run}/media/images/a.png")["type"] == "file"
            assert fs.isdir(f"{PROJECT}/{run}/media")
        assert requests() == {}

    def test_walking_lists_once(self, served: LocalServer, fs: Fs, requests: Requests) -> None:
        walked = list(fs.walk(f"{PROJECT}/run1"))
        assert [folder for folder, _, _ in walked] == [
            f"{PROJECT}/run1",
            f"{PROJECT}/run1/media",
            f"{PROJECT}/run1/media/images",
        ]
        assert requests() == {"RunFiles": 1}
        assert fs.du(f"{PROJECT}/run1") == sum(len(f"{name} of run1") for name in NAMES)
        assert fs.du(f"{PROJECT}/run1/media", total=False) == {
            f"{PROJECT}/run1/{name}": len(f"{name} of run1") for name in NAMES if name.startswith("media/")
        }
        assert requests() == {}

    def test_pattern_over_many_runs_is_one_request(self, served: LocalServer, fs: Fs, requests: Requests) -> None:
        assert fs.glob(f"{PROJECT}/run*/config.yaml") == [f"{PROJECT}/{run}/config.yaml" for run in ("run0", "run1")]
        assert requests() == {"Runs": 1}
        assert fs.glob(f"{PROJECT}/*") == fs.ls(PROJECT, detail=False)
        assert requests() == {"Runs": 1}

    def test_folders_are_case_sensitive(self, served: LocalServer, fs: Fs) -> None:
        assert fs.find("team/speech/run0/media") == ["team/speech/run0/media/a.txt"]
        assert fs.glob("team/speech/run0/Media/*") == ["team/speech/run0/Media/a.txt"]
        assert not fs.exists("team/speech/run0/MEDIA")
        assert not fs.exists("team/speech/run0/MEDIA/a.txt")


PATTERNS = [
    *("{p}/run0/*", "{p}/*/config.yaml", "{p}/run?/media/*", "{p}/run0/**", "{p}/run0/**/*.png", "{p}/r*/**/a.png"),
    *("{p}/run0/media/*/", "{p}/run0/me*", "{p}/run0/*.yaml", "{p}/*/media", "{p}/run0/media/[ab]*", "team/*/run0"),
    *("team/*", "team/*/*/config.yaml", "{p}/run[01]", "{p}/**/table.json", "{p}/run0/media/images/?.png", "{p}/*/"),
    *("{p}/run0/MEDIA/*", "{p}/run0/nothing*", "team/speech/run0/*[[]odd[]]*", "team/speech/run0/odd*"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("maxdepth", [None, 1, 2])
def test_patterns_match_as_in_a_local_folder(served: LocalServer, fs: Fs, pattern: str, maxdepth: int | None) -> None:
    local, root = fsspec.filesystem("file"), str(served.root)
    pattern = pattern.format(p=PROJECT)
    expected = [path.removeprefix(f"{root}/") for path in local.glob(f"{root}/{pattern}", maxdepth=maxdepth)]
    assert fs.glob(pattern, maxdepth=maxdepth) == expected
    fs.find(PROJECT)
    assert fs.glob(pattern, maxdepth=maxdepth) == expected, "from what is remembered too"
    for path, info in fs.glob(pattern, maxdepth=maxdepth, detail=True).items():
        assert (info["name"], info["type"]) == (path, "directory" if Path(root, path).is_dir() else "file")


@pytest.mark.parametrize("path", ["team", PROJECT, f"{PROJECT}/run0", f"{PROJECT}/run0/media", f"{PROJECT}/empty"])
@pytest.mark.parametrize("maxdepth", [None, 1, 2, 3])
@pytest.mark.parametrize("withdirs", [False, True])
def test_files_are_found_as_in_a_local_folder(
    served: LocalServer, fs: Fs, path: str, maxdepth: int | None, withdirs: bool
) -> None:
    local, root = fsspec.filesystem("file"), str(served.root)
    found = local.find(f"{root}/{path}", maxdepth=maxdepth, withdirs=withdirs)
    expected = [each.removeprefix(f"{root}/") for each in found]
    for _ in range(2):
        assert fs.find(path, maxdepth=maxdepth, withdirs=withdirs) == expected


class TestCache:
    def test_new_file_is_found(self, served: LocalServer, fs: Fs) -> None:
        fs.find(PROJECT)
        served.add_file(f"{PROJECT}/run0", "media/new/file", b"new")
        assert fs.info(f"{PROJECT}/run0/media/new/file")["size"] == 3
        assert fs.isdir(f"{PROJECT}/run0/media/new")
        assert fs.cat(f"{PROJECT}/run0/media/new/file") == b"new"
        assert fs.ls(f"{PROJECT}/run0/media/new", refresh=True)
        assert fs.find(f"{PROJECT}/run0") != fs.find(f"{PROJECT}/run0", refresh=True)
        served.add_file(f"{PROJECT}/new", "a", b"a")
        assert fs.exists(f"{PROJECT}/new/a")

    def test_cache_can_be_invalidated(self, served: LocalServer, fs: Fs, requests: Requests) -> None:
        fs.find(PROJECT)
        fs.invalidate_cache(f"{PROJECT}/run0/media")
        requests()
        fs.find(f"{PROJECT}/run0")
        fs.find(f"{PROJECT}/run1")
        assert requests() == {"RunFiles": 1}
        fs.invalidate_cache()
        fs.find(f"{PROJECT}/run1")
        assert requests() == {"RunFiles": 1}

    @pytest.mark.parametrize("options", [{"use_listings_cache": False}, {"listings_expiry_time": 0}])
    def test_cache_can_be_turned_off(self, served: LocalServer, requests: Requests, options: dict[str, Any]) -> None:
        fs = WandbFileSystem(**options)
        for _ in range(2):
            fs.find(f"{PROJECT}/run0")
            fs.ls(PROJECT)
        assert requests() == {"RunFiles": 2, "Runs": 2}

    def test_file_of_a_running_run_is_opened_fresh(self, served: LocalServer, fs: Fs, requests: Requests) -> None:
        served.add_file(f"{PROJECT}/running", "output.log", b"one line\n")
        record = served._records.change
        from wbfiles_async.testing._records import RunRecord

        at = "2026-01-01T00:00:00"
        record(
            RunPath("team", "vision", "running"),
            lambda _: RunRecord(display_name="running", created_at=at, heartbeat_at=at, state="running"),
        )
        fs.find(PROJECT)
        served.add_file(f"{PROJECT}/running", "output.log", b"one line\nand another\n")
        with fs.open(f"{PROJECT}/running/output.log") as file:
            assert file.read() == b"one line\nand another\n"
        requests()
        with fs.open(f"{PROJECT}/run0/config.yaml") as file:
            assert file.read() == b"config.yaml of run0"
        assert requests() == {"store": 1}, "of a run that has ended what was listed is good enough"
