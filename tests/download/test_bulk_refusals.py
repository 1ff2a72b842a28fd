"""Bulk downloads that refuse files before writing, such as colliding names, or end early, such as on a full disk."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from scripted_server import RUN, Answer, ScriptedServer, Seen, client, error_of, temporaries
from scripted_server import server as server
from scripted_server import waits as waits
from systems import posix_only
from test_bad_input import mount as mount

from wbfiles_async import (
    Api,
    AsyncApi,
    DownloadReport,
    FileResult,
    IncompleteDownloadError,
    LocalWriteError,
    NameCollisionError,
)
from wbfiles_async._disk.space import FreeSpace, PlannedSpace, SpaceNeeded
from wbfiles_async._download import bulk
from wbfiles_async._download.file import FileDownload
from wbfiles_async.testing import LocalServer

pytestmark = pytest.mark.usefixtures("waits")

KIB = 1 << 10
Mount = Callable[[str], Path]


def written(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def report_of(api: AsyncApi, root: Path) -> DownloadReport:
    return await api.run(RUN).download(root, raise_on_error=False)


@pytest.mark.fault(97)
async def test_colliding_names_are_refused_before_any_request(server: ScriptedServer, tmp_path: Path) -> None:
    twins = ["b", "b/c", "d/e/f", "d/e"]
    for name in [*twins, "other", "d/y"]:
        server.put(name, name.encode())
    async with client(server) as api:
        error = await error_of(IncompleteDownloadError, api.run(RUN).download(tmp_path))
    assert written(tmp_path) == {"other": b"other", "d/y": b"d/y"}
    assert {seen.path for seen in server.seen()} == {"/store/other", "/store/d/y"}
    failures = {failure.name: failure.error for failure in error.report.failures}
    assert list(failures) == twins
    for name, refusal in failures.items():
        assert isinstance(refusal, NameCollisionError)
        assert (refusal.name, refusal.other) == (name, twins[twins.index(name) ^ 1])
        assert refusal.other in str(refusal)
    assert (error.report.files, error.report.downloaded, error.report.failed) == (6, 2, 4)


def test_name_on_a_later_page_does_not_replace_an_earlier_file(tmp_path: Path) -> None:
    with LocalServer(tmp_path / "served") as server:
        for run in ("1", "2"):
            server.add_file(f"team/project/{run}", "same", run.encode())
        server.add_file("team/project/2", "other", b"other")
        api = Api(base_url=server.base_url, api_key=server.api_key)
        for status in ("downloaded", "kept"):
            results: list[FileResult] = []
            api.runs("team/project", order="+name", per_page=1).download(
                tmp_path / "data", layout="", raise_on_error=False, on_result=results.append
            )
            assert {(result.run[-1], result.name): result.status for result in results} == {
                ("1", "same"): status, ("2", "same"): "failed", ("2", "other"): status,
            }  # fmt: skip
            (refusal,) = [result.error for result in results if result.error is not None]
            assert isinstance(refusal, NameCollisionError)
            assert "the earlier one stays" in str(refusal)
    assert written(tmp_path / "data") == {"same": b"1", "other": b"other"}


async def test_unselected_names_do_not_collide(server: ScriptedServer, tmp_path: Path) -> None:
    for name in ("A", "a"):
        server.put(name, name.encode())
    async with client(server) as api:
        report = await api.run(RUN).download(tmp_path, exclude=["A"])
    assert (report.downloaded, written(tmp_path)) == (1, {"a": b"a"})


@pytest.mark.fault(90)
async def test_insufficient_space_is_reported_before_any_request(server: ScriptedServer, mount: Mount) -> None:
    disk = mount("size=256k")
    for n in range(50):
        server.put(f"{n}", bytes(8 * KIB))
    async with client(server) as api:
        report = await report_of(api, disk)
        error = await error_of(IncompleteDownloadError, api.run(RUN).download(disk))
    assert server.seen() == []
    assert list(disk.iterdir()) == []
    assert isinstance(report.stopped, LocalWriteError)
    assert report.stopped.errno == errno.ENOSPC
    assert "400.0 KiB are needed, 256.0 KiB are free" in str(report.stopped)
    assert (report.files, report.failed, report.skipped, report.downloaded) == (50, 1, 49, 0)
    assert [failure.error for failure in report.failures] == [report.stopped]
    assert error.__cause__ is error.report.stopped
    assert "49 listed files were not started" in str(error)


async def test_existing_bytes_need_no_space(server: ScriptedServer, mount: Mount) -> None:
    disk = mount("size=256k")
    for n in range(6):
        server.put(f"{n}", b"%d" % n * 32 * KIB)
        (disk / f"{n}").write_bytes(b"%d" % n * 32 * KIB if n % 2 else bytes(32 * KIB))
    async with client(server, connections=1) as api:
        report = await api.run(RUN).download(disk)
    assert (report.kept, report.downloaded) == (3, 3)


async def test_pages_that_fit_are_downloaded_first(mount: Mount, tmp_path: Path) -> None:
    disk = mount("size=256k")
    with LocalServer(tmp_path / "served") as server:
        for n in range(9):
            server.add_file(RUN, f"{n}", bytes(40 * KIB))
        async with AsyncApi(base_url=server.base_url, api_key=server.api_key) as api:
            report = await api.run(RUN).files(per_page=3).download(disk, raise_on_error=False)
    assert (report.downloaded, report.failed + report.skipped) == (6, 3)
    assert isinstance(report.stopped, LocalWriteError)
    assert set(written(disk)) == {f"{n}" for n in range(6)}


async def test_written_bytes_do_not_count_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Published files that have not been reported to the event loop do not count twice."""
    loop, all_seen = asyncio.get_running_loop(), asyncio.Event()
    frees = iter([120, 0, 0])

    def look(root: Path) -> FreeSpace:
        free = next(frees, None)
        if free is None:
            loop.call_soon_threadsafe(all_seen.set)
        return FreeSpace(120 * KIB if free is None else free * KIB, None)

    async def late(download: FileDownload) -> FileResult:
        await all_seen.wait()
        return await run(download)

    run = FileDownload.run
    monkeypatch.setattr(bulk, "free_space_below", look)
    monkeypatch.setattr(FileDownload, "run", late)
    with LocalServer(tmp_path / "served") as server:
        for n in range(6):
            server.add_file(RUN, f"{n}", bytes(40 * KIB))
        async with AsyncApi(base_url=server.base_url, api_key=server.api_key) as api:
            report = await api.run(RUN).files(per_page=3).download(tmp_path / "data", raise_on_error=False)
    assert (report.downloaded, report.stopped) == (6, None)


@posix_only("a disk does not say how many files it takes")
async def test_missing_inodes_are_reported_before_any_request(server: ScriptedServer, mount: Mount) -> None:
    disk = mount("size=1m,nr_inodes=10")
    for n in range(20):
        server.put(f"{n}", b"x")
    async with client(server) as api:
        report = await report_of(api, disk)
    assert "room for 20 new files is needed" in str(report.stopped)
    assert server.seen() == []


@pytest.mark.fault(78)
async def test_disk_that_fills_up_ends_the_download_with_a_report(server: ScriptedServer, mount: Mount) -> None:
    disk = mount("size=256k")

    def fill(seen: Seen) -> Answer:
        with suppress(OSError), (disk / "somebody else's").open("wb") as file:
            file.write(bytes(256 * KIB))
        return Answer(body=bytes(8 * KIB))

    for n in range(20):
        server.put(f"{n:02}", bytes(8 * KIB), *([fill] if n == 4 else []))
    async with client(server, connections=1) as api:
        report = await report_of(api, disk)
        assert len(server.seen()) <= 4 + 4, "those under way by then"
        error = await error_of(IncompleteDownloadError, api.run(RUN).download(disk))
    assert isinstance(report.stopped, LocalWriteError)
    assert report.stopped.errno == errno.ENOSPC
    assert 1 <= report.failed <= 4
    assert report.files == 20 == report.downloaded + report.failed + report.skipped
    assert {failure.error.errno for failure in report.failures if isinstance(failure.error, LocalWriteError)} == {
        errno.ENOSPC
    }
    assert isinstance(error.__cause__, LocalWriteError)
    assert not temporaries(disk)


@pytest.mark.fault(84)
async def test_disk_that_becomes_read_only_ends_the_download_with_a_report(
    server: ScriptedServer, mount: Mount
) -> None:
    disk = mount("size=1m")

    async def lock(seen: Seen) -> Answer:
        command = ["mount", "-o", "remount,ro", str(disk)]
        async with asyncio.timeout(30):
            while (await asyncio.to_thread(subprocess.run, command, check=False)).returncode:
                pass  # the disk is busy while the file before is being written
        return Answer(body=b"x")

    for n in range(20):
        server.put(f"{n:02}", b"x", *([lock] if n == 4 else []))
    async with client(server, connections=1) as api:
        report = await report_of(api, disk)
    assert isinstance(report.stopped, LocalWriteError)
    assert report.stopped.errno == errno.EROFS
    assert report.skipped >= 10
    assert report.files == 20 == report.downloaded + report.failed + report.skipped


async def test_dry_run_ignores_the_free_space(server: ScriptedServer, mount: Mount) -> None:
    disk = mount("size=64k")
    server.put("a", bytes(100 * KIB))
    async with client(server) as api:
        report = await api.run(RUN).download(disk, dry_run=True)
    assert (report.planned, report.bytes, report.stopped) == (1, 100 * KIB, None)


def test_received_bytes_do_not_count_twice() -> None:
    ahead, arrived = PlannedSpace(), 0
    ahead.plan(SpaceNeeded(100, 1))
    ahead.plan(SpaceNeeded(7, 1))
    assert ahead.need == SpaceNeeded(107, 2)
    ahead.begin(SpaceNeeded(100, 1))
    with ahead.writing(SpaceNeeded(100, 1), lambda: arrived):
        assert ahead.need == SpaceNeeded(107, 1), "its name is taken by now"
        arrived = 90
        assert ahead.need == SpaceNeeded(17, 1)
        arrived = 120  # it replaces a file of 20 bytes
        assert ahead.need == SpaceNeeded(7, 1)
    assert ahead.need == SpaceNeeded(7, 1)


@pytest.mark.parametrize(
    ("free", "fits"),
    [
        (FreeSpace(10, 1), True),
        (FreeSpace(9, 1), False),
        (FreeSpace(10, 0), False),
        (FreeSpace(None, None), True),
        (FreeSpace(None, 0), False),
    ],
)
def test_unknown_free_space_is_no_obstacle(tmp_path: Path, free: FreeSpace, fits: bool) -> None:
    assert (free.shortage(SpaceNeeded(10, 1), tmp_path) is None) is fits


def test_command_line_explains_why_it_stopped_and_how_to_continue(mount: Mount, tmp_path: Path) -> None:
    disk = mount("size=64k")
    with LocalServer(tmp_path / "served") as server:
        for n in range(5):
            server.add_file(RUN, f"{n}", bytes(40 * KIB))
        environ = os.environ | {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key}

        def get(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "wbfiles_async", "get", RUN, "-o", str(disk), *arguments]
            return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)

        plain, described = get(), get("--json")
    assert (plain.returncode, described.returncode) == (1, 1)
    assert "200.0 KiB are needed, 64.0 KiB are free" in plain.stderr
    assert "1 failed, 4 not started" in plain.stderr
    assert "Run the same command again" in plain.stderr
    assert "Traceback" not in plain.stderr
    *_, last = described.stdout.splitlines()
    summary = json.loads(last)["summary"]
    assert (summary["failed"], summary["skipped"], summary["rate"]) == (1, 4, 0)
    assert summary["stopped"]["type"] == "LocalWriteError"
