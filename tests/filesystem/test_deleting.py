"""Deleting: exactly the given files, in batches; never a run."""

from __future__ import annotations

import pytest
from filesystems import Fs, Requests, WandbFileSystem
from filesystems import environment as environment
from filesystems import fs as fs
from filesystems import requests as requests

from wbfiles_async.testing import LocalServer

PROJECT = "team/vision"
RUN = f"{PROJECT}/run0"
NAMES = ("a.txt", "config.yaml", "media/a.png", "media/b/c.png", "media.txt", "Media/a.png")


@pytest.fixture(autouse=True)
def served(environment: LocalServer) -> LocalServer:
    for run in ("run0", "run1"):
        for name in NAMES:
            environment.add_file(f"{PROJECT}/{run}", name, b"x")
    return environment


def left(server: LocalServer, run: str = RUN) -> set[str]:
    root = server.root / run
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_file(served: LocalServer, fs: Fs, requests: Requests) -> None:
    fs.find(RUN)
    requests()
    fs.rm(f"wandb://{RUN}/a.txt")
    assert requests() == {"RunFiles": 1, "deleteFiles": 1}
    fs.rm_file(f"{RUN}/config.yaml")
    assert left(served) == {*NAMES} - {"a.txt", "config.yaml"}
    assert not fs.exists(f"{RUN}/a.txt"), "what was listed before is forgotten"
    assert left(served, f"{PROJECT}/run1") == {*NAMES}


def test_folder_with_its_contents_only(served: LocalServer, fs: Fs, requests: Requests) -> None:
    for number in range(150):
        served.add_file(RUN, f"media/many/{number}", b"x")
    requests()
    fs.rm(f"{RUN}/media", recursive=True)
    assert left(served) == {"a.txt", "config.yaml", "media.txt", "Media/a.png"}
    assert requests()["deleteFiles"] == 2


def test_levels(served: LocalServer, fs: Fs) -> None:
    fs.rm(f"{RUN}/media", recursive=True, maxdepth=1)
    assert left(served) == {*NAMES} - {"media/a.png"}


@pytest.mark.parametrize(
    "path", [RUN, f"{RUN}/", PROJECT, "team", "", "/", "wandb://", f"{PROJECT}/*", f"{PROJECT}/run?"]
)
@pytest.mark.parametrize("recursive", [False, True])
def test_runs_and_projects_are_refused(
    served: LocalServer, fs: Fs, requests: Requests, path: str, recursive: bool
) -> None:
    for paths in (path, [f"{RUN}/a.txt", path]):
        with pytest.raises(PermissionError, match=r"delete\(all=True\)"):
            fs.rm(paths, recursive=recursive)
    assert "deleteFiles" not in requests()
    assert left(served) == {*NAMES}


def test_folder_without_recursive_is_refused(served: LocalServer, fs: Fs) -> None:
    for path in (f"{RUN}/media", f"{RUN}/*"):
        with pytest.raises(IsADirectoryError, match="recursive=True"):
            fs.rm(path)
    assert left(served) == {*NAMES}


def test_nothing_and_missing_paths(served: LocalServer, fs: Fs, requests: Requests) -> None:
    fs.rm([])
    assert requests() == {}
    for path in (f"{RUN}/none", f"{RUN}/none*", f"{PROJECT}/run9/a.txt", "team//run0/a.txt"):
        for recursive in (False, True):
            with pytest.raises(FileNotFoundError):
                fs.rm([f"{RUN}/a.txt", path], recursive=recursive)
    assert left(served) == {*NAMES}, "not even what was found"


def test_pattern(served: LocalServer, fs: Fs) -> None:
    fs.rm(f"{RUN}/*.txt")
    assert left(served) == {*NAMES} - {"a.txt", "media.txt"}
    fs.rm(f"{PROJECT}/*/config.yaml")
    assert "config.yaml" not in left(served) | left(served, f"{PROJECT}/run1")
    fs.rm(f"{RUN}/me*", recursive=True)
    assert left(served) == {"Media/a.png"}


@pytest.mark.parametrize("name", ["a[1].txt", "a*.txt", "a?.txt"])
def test_name_that_looks_like_a_pattern_is_itself(served: LocalServer, fs: Fs, name: str) -> None:
    served.add_file(RUN, name, b"x")
    served.add_file(RUN, "a1.txt", b"x")
    fs.rm(f"{RUN}/{name}")
    assert left(served) == {*NAMES, "a1.txt"}


def test_read_only(served: LocalServer, requests: Requests) -> None:
    fs = WandbFileSystem(read_only=True)
    for call in (fs.rm, fs.rm_file):
        with pytest.raises(PermissionError, match="read_only=True"):
            call(f"{RUN}/a.txt")
    assert fs.cat(f"{RUN}/a.txt") == b"x"
    assert left(served) == {*NAMES}
