"""``wbfiles get --manifest`` and ``--files-from``, and ``wbfiles report``."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from s3 import S3, needs_s3
from s3 import s3 as s3
from s3 import s3_origin as s3_origin
from test_commands import FILES, RUN, Wbfiles, fetched, md5
from test_commands import wbfiles as wbfiles

from wbfiles_async import ConfigurationError, FileResult, TransferError
from wbfiles_async._cli.manifests import open_manifest
from wbfiles_async._download.manifest import ROWS_AT_ONCE, ManifestWriter, read_manifest, row_of
from wbfiles_async._download.selection import MOST_NAMES, Selection
from wbfiles_async.testing import LocalServer

COLUMNS = {"run", "name", "path", "size", "md5", "status", "verified", "error"}
each_format = pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
BAD = ".wbfiles-state"
"""A name that is refused."""


@pytest.fixture(autouse=True)
def parquet(request: pytest.FixtureRequest) -> None:
    if "suffix" in request.fixturenames and request.getfixturevalue("suffix") == ".parquet":
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow")


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        parquet: Any = import_module("pyarrow.parquet")
        listed: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return listed
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestManifest:
    @each_format
    def test_manifest_has_a_row_per_file(self, wbfiles: Wbfiles, wandb_server: LocalServer, suffix: str) -> None:
        wandb_server.add_file(RUN, BAD, b"x")
        path = Path(f"out/manifest{suffix}")
        assert wbfiles("get", RUN, "-o", "data", "--manifest", str(path)).code == 1
        described = {row.pop("name"): row for row in rows(path)}
        assert described.keys() == FILES.keys() | {BAD}
        for name, data in FILES.items():
            assert described[name] == {
                "run": RUN,
                "path": f"data/{name}",
                "size": len(data),
                "md5": md5(data),
                "status": "downloaded",
                "verified": True,
                "error": None,
            }
        failed = described[BAD]
        assert (failed["status"], failed["verified"], failed["path"]) == ("failed", False, None)
        assert failed["error"].startswith("UnsafePathError: ")
        assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing temporary is left"

    def test_manifest_includes_kept_and_planned_files(self, wbfiles: Wbfiles) -> None:
        for arguments, status in ((["-n"], "planned"), ([], "downloaded"), ([], "kept")):
            wbfiles("get", "team/project/", "-o", "data", "--manifest", "m.jsonl", *arguments)
            assert {(row["name"], row["status"], row["md5"]) for row in rows(Path("m.jsonl"))} == {
                (name, status, md5(data)) for name, data in FILES.items()
            }

    def test_failed_download_leaves_the_old_manifest(self, wbfiles: Wbfiles) -> None:
        Path("m.jsonl").write_text("old")
        assert wbfiles("get", "team/project/absent", "--manifest", "m.jsonl").code == 4
        assert Path("m.jsonl").read_text() == "old"
        assert fetched(Path()).keys() == {"m.jsonl"}

    def test_unwritable_manifest_is_reported_before_any_request(
        self, wbfiles: Wbfiles, wandb_server: LocalServer
    ) -> None:
        Path("file").write_text("")
        wandb_server.clear_requests()
        ending = wbfiles("get", RUN, "--manifest", "file/m.jsonl")
        assert ending.code == 1
        assert "file" in ending.err
        assert "Traceback" not in ending.err
        assert all(request.operation in (None, "RunFiles") for request in wandb_server.requests)
        assert fetched(Path()).keys() == {"file"}

    def test_parquet_without_pyarrow_is_explained(self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
        ending = wbfiles("get", RUN, "--manifest", "m.parquet")
        assert ending.code == 2
        assert "Parquet needs pyarrow" in ending.err
        assert not fetched(Path())

    @each_format
    def test_manifest_round_trip(self, tmp_path: Path, suffix: str) -> None:
        results = [
            FileResult(name=f"é/{number}\n", status="kept", size=number, run="e/p/r", path=tmp_path)
            for number in range(ROWS_AT_ONCE + 1)
        ]
        results.append(FileResult(name="", status="failed", error=TransferError("gone"), run="e/p/r"))
        path = tmp_path / f"m{suffix}"
        with ManifestWriter(path) as manifest:
            for result in results:
                manifest.add(result)
        assert list(read_manifest(path)) == list(map(row_of, results))
        assert row_of(results[-1]).error == "TransferError: gone"

    @each_format
    def test_error_leaves_no_manifest(self, tmp_path: Path, suffix: str) -> None:
        def fail() -> None:
            with ManifestWriter(tmp_path / f"m{suffix}") as manifest:
                manifest.add(FileResult(name="a", status="kept"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert [*tmp_path.iterdir()] == []

    async def test_failed_manifest_write_stops_the_download(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*results: FileResult) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        async def download() -> None:
            async with asyncio.timeout(10), open_manifest(tmp_path / "m.jsonl") as add:
                add(FileResult(name="a", status="kept"))
                await asyncio.Event().wait()

        monkeypatch.setattr(ManifestWriter, "add", fail)
        with pytest.raises(OSError, match="No space left"):
            await download()
        assert [*tmp_path.iterdir()] == []


class TestReport:
    def test_report_sums_up_and_names_what_is_left(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(RUN, BAD, b"x")
        wbfiles("get", RUN, "config.yaml", BAD, "--manifest", "m/one.jsonl")
        wbfiles("get", RUN, "--include", "media/", "--manifest", "m/two.jsonl")
        Path("m/other.jsonl").write_text('{"a": 1}\n')
        Path("m/notes.txt").write_text("none")
        ending = wbfiles("report", "m")
        assert ending.code == 1
        (left,) = ending.lines
        assert left.startswith(f"{RUN}\t{BAD}\t1\tfailed\tUnsafePathError: ")
        assert ending.err.startswith("2 manifests: 3 files of 1 run, 4.9 KiB, in place, 3 verified, 1 left.\n")

    def test_later_manifest_wins_for_the_same_file(self, wbfiles: Wbfiles) -> None:
        wbfiles("get", RUN, "-n", "--manifest", "first.jsonl")
        planned = wbfiles("report", "first.jsonl", "--json")
        assert planned.code == 1
        assert {each["status"] for each in planned.objects[:-1]} == {"planned"}
        wbfiles("get", RUN, "--manifest", "second.jsonl")
        os.utime("first.jsonl", (1, 1))
        ending = wbfiles("report", "second.jsonl", "first.jsonl", "--json")
        assert ending.code == 0
        assert ending.objects == [
            {
                "summary": {
                    "manifests": 2,
                    "files": len(FILES),
                    "bytes": sum(map(len, FILES.values())),
                    "verified": len(FILES),
                    "left": 0,
                    "status": {"downloaded": len(FILES)},
                }
            }
        ]
        assert wbfiles("report", "second.jsonl").err.endswith("4 verified, nothing left.\n")

    def test_missing_manifest_is_exit_code_4(self, wbfiles: Wbfiles) -> None:
        Path("empty").mkdir()
        ending = wbfiles("report", "empty")
        assert (ending.code, ending.out) == (4, "")
        assert "there is no manifest in empty" in ending.err
        assert wbfiles("report", "absent").code == 2

    @pytest.mark.parametrize("content", [b"{", b"[]", b'{"run": 1}', b"\xff\xfe", b"null\n"])
    def test_invalid_manifest_is_refused(self, wbfiles: Wbfiles, content: bytes) -> None:
        Path("m.jsonl").write_bytes(content)
        ending = wbfiles("report", "m.jsonl")
        assert (ending.code, ending.out) == (2, "")
        assert "m.jsonl is not a manifest" in ending.err

    def test_invalid_parquet_is_refused(self, tmp_path: Path) -> None:
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
        (tmp_path / "m.parquet").write_bytes(b"PAR1")
        with pytest.raises(ConfigurationError, match="not a manifest"):
            list(read_manifest(tmp_path / "m.parquet"))

    @needs_s3
    def test_manifests_in_a_bucket_are_read(self, wbfiles: Wbfiles, wandb_server: LocalServer, s3: S3) -> None:
        wandb_server.add_file(RUN, BAD, b"x")
        wbfiles("get", RUN, BAD, "--manifest", "incomplete.jsonl")
        wbfiles("get", RUN, "--exclude", BAD, "--manifest", "whole.jsonl")
        s3.put("plan/part-0123abcd-00000.incomplete.jsonl", Path("incomplete.jsonl").read_bytes())
        s3.put("plan/part-0123abcd-00001.jsonl", Path("whole.jsonl").read_bytes())
        s3.put("plan/plan.json", b"{}")
        s3.put("plan/below/part.jsonl", b"not looked at")
        ending = wbfiles("report", s3.url("plan"))
        assert (ending.code, len(ending.lines)) == (1, 1)
        assert ending.err.startswith("2 manifests: ")
        single = wbfiles("report", s3.url("plan/part-0123abcd-00001.jsonl"))
        assert single.code == 0
        assert single.err.startswith("1 manifest: ")
        missing = wbfiles("report", s3.url("plan/part-0123abcd-00009.jsonl"))
        assert (missing.code, missing.out) == (4, "")
        assert "part-0123abcd-00009.jsonl does not exist" in missing.err
        assert wbfiles("report", s3.url("nothing")).code == 4
        assert wbfiles("report", "missing").code == 2
        assert wbfiles("report", "s3://bucket?x=1").code == 2


class TestFilesFrom:
    def test_names_are_read_from_a_file(self, wbfiles: Wbfiles) -> None:
        Path("names").write_text("config.yaml\r\n\nmedia/images/a.png\n")
        ending = wbfiles("get", RUN, "--files-from", "names", "-o", "data")
        assert ending.code == 0
        assert fetched(Path("data")).keys() == {"config.yaml", "media/images/a.png"}

    def test_names_are_read_from_stdin_and_combined(self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"absent\nmedia/images/a.png")))
        ending = wbfiles("get", "team/project/", "config.yaml", "--files-from", "-", "-o", "data")
        assert ending.code == 1
        assert "has a file 'absent'" in ending.err
        assert fetched(Path("data")).keys() == {"run1/config.yaml", "run1/media/images/a.png"}

    def test_more_names_than_a_request_takes_are_accepted(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        names = [f"{number}[x].txt" if number % 2 else f"{number}.txt" for number in range(2 * MOST_NAMES)]
        for name in names[:-1]:
            wandb_server.add_file(RUN, name, b"x")
        wandb_server.add_file(RUN, "not-named.txt", b"x")
        Path("names").write_text("\n".join(names))
        wandb_server.clear_requests()
        ending = wbfiles("get", RUN, "--files-from", "names", "-o", "data")
        assert fetched(Path("data")).keys() == set(names[:-1])
        assert ending.code == 1
        assert names[-1] in ending.err

    @pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xff\n"])
    def test_empty_names_file_downloads_nothing(self, wbfiles: Wbfiles, content: bytes) -> None:
        Path("names").write_bytes(content)
        ending = wbfiles("get", RUN, "--files-from", "names", "-o", "data")
        assert (ending.code, ending.out) == (2, "")
        assert "names" in ending.err
        assert not Path("data").exists()


def test_many_names_are_looked_up_and_patterns_compared() -> None:
    selection = Selection([*(f"{number}.txt" for number in range(100_000)), "*.png", "a[[]1].txt"])
    assert selection.accepts("99999.txt")
    assert selection.accepts("x.png")
    assert selection.accepts("a[1].txt")
    assert not selection.accepts("100000.txt")
    assert not selection.accepts("a[[]1].txt")
