"""Resuming an interrupted large file, in the same process and in another; if in doubt it restarts."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import attrs
import pytest
from scripted_server import RUN, Answer, ScriptedServer, Seen, Stored, client, remote, temporaries
from scripted_server import server as server
from scripted_server import waits as waits
from systems import SYSTEM, posix_only

from wbfiles_async import AsyncApi, FileResult, IntegrityError, TransferError
from wbfiles_async._disk import locks
from wbfiles_async._disk.journal import HEADER_BYTES, Header, Journal, encode_header, parse_journal

pytestmark = pytest.mark.usefixtures("waits")

PART = 256 << 10
DATA = random.Random(1).randbytes(8 * PART)
OTHER = bytes(reversed(DATA))
LEFT_OVER = ".a.bin.wbfiles-part"


def half(stored: Callable[[Seen], object]) -> Callable[[Seen], Answer]:
    """Serve the first half of the file, and truncate every request for the second."""

    def answer(seen: Seen) -> Answer:
        given = stored(seen)
        assert isinstance(given, Answer)
        start = seen.range[0] if seen.range else 0
        return given if start < len(DATA) // 2 else given.but(cut=10, end="close")

    return answer


def resuming(server: ScriptedServer, **options: object) -> AsyncApi:
    return client(server, part_size=PART, resume=True, connections=1, attempts=2, **options)


async def interrupted(server: ScriptedServer, root: Path, stored: Stored | None = None) -> dict[str, object]:
    """Let a download fail midway; return the node of the file, which is served whole from now on."""
    stored = stored or Stored(DATA)
    node = server.put("a.bin", DATA, half(stored))
    async with resuming(server) as api:
        with pytest.raises(TransferError) as caught:
            await remote(api, node).fetch(root)
    assert any(LEFT_OVER in note for note in caught.value.__notes__)
    server.on("/store/a.bin", stored)
    server.requests.clear()
    return node


async def finish(server: ScriptedServer, root: Path, **options: object) -> FileResult:
    """Download the run, and assert that only the complete file is left."""
    results: list[FileResult] = []
    async with resuming(server, **options) as api:
        await api.run(RUN).download(root, existing="replace", on_result=results.append)
    assert (root / "a.bin").read_bytes() == DATA
    assert not temporaries(root)
    [result] = results
    return result


def asked_bytes(server: ScriptedServer) -> int:
    ranges = [seen.range or (0, None) for seen in server.seen()]
    return sum((len(DATA) if stop is None else stop) - start for start, stop in ranges)


def journal_of(path: Path) -> Journal:
    journal = parse_journal(path.read_bytes()[len(DATA) :])
    assert journal is not None
    return journal


@pytest.mark.fault(1, 6)
async def test_next_download_requests_only_the_missing_bytes(server: ScriptedServer, tmp_path: Path) -> None:
    await interrupted(server, tmp_path)
    left = tmp_path / LEFT_OVER
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    result = await finish(server, tmp_path)
    assert result.verified
    assert result.resumed == len(DATA) // 2
    assert asked_bytes(server) == len(DATA) // 2
    assert all(seen.headers["if-match"] == Stored(DATA).etag for seen in server.seen())


@pytest.mark.fault(94)
async def test_cancelled_download_is_resumed(server: ScriptedServer, tmp_path: Path) -> None:
    reached, stored = asyncio.Event(), Stored(DATA)

    async def hold(seen: Seen) -> Answer:
        if seen.range and seen.range[0] >= 2 * PART:
            reached.set()
            await asyncio.Event().wait()
        return stored(seen)

    node = server.put("a.bin", DATA, hold)
    async with resuming(server) as api:
        work = asyncio.create_task(remote(api, node).fetch(tmp_path))
        await reached.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    server.on("/store/a.bin", stored)
    assert (await finish(server, tmp_path)).resumed == 2 * PART


async def test_report_counts_resumed_files(server: ScriptedServer, tmp_path: Path) -> None:
    await interrupted(server, tmp_path)
    async with resuming(server) as api:
        report = await api.run(RUN).download(tmp_path)
    assert (report.downloaded, report.resumed, report.bytes) == (1, 1, len(DATA))
    assert report.resumed_bytes == len(DATA) // 2
    assert report.rate == len(DATA) / 2 / report.seconds


async def test_progress_may_distinguish_resumed_bytes(server: ScriptedServer, tmp_path: Path) -> None:
    class Apart:
        there = arrived = 0

        def started(self, name: str, total: int | None) -> None: ...

        def resumed(self, name: str, count: int) -> None:
            self.there += count

        def advanced(self, name: str, count: int) -> None:
            self.arrived += count

        def finished(self, name: str) -> None: ...

        def failed(self, name: str, error: Exception) -> None: ...

    await interrupted(server, tmp_path)
    async with resuming(server) as api:
        apart = Apart()
        await api.run(RUN).download(tmp_path, progress=apart)
    assert (apart.there, apart.arrived) == (len(DATA) // 2, len(DATA) // 2)


async def test_progress_counts_resumed_bytes(server: ScriptedServer, tmp_path: Path) -> None:
    class Counting:
        total = 0

        def started(self, name: str, total: int | None) -> None: ...

        def advanced(self, name: str, count: int) -> None:
            self.total += count

        def finished(self, name: str) -> None: ...

        def failed(self, name: str, error: Exception) -> None: ...

    node, counting = await interrupted(server, tmp_path), Counting()
    async with resuming(server) as api:
        await remote(api, node).fetch(tmp_path, progress=counting)
    assert counting.total == len(DATA)


@pytest.mark.fault(91)
async def test_complete_part_file_is_published_without_a_request(server: ScriptedServer, tmp_path: Path) -> None:
    """The process ended between the last byte and publishing."""
    await interrupted(server, tmp_path)
    left = tmp_path / LEFT_OVER
    header = encode_header(journal_of(left).header)
    left.write_bytes(DATA + header + (0).to_bytes(8, "little") + len(DATA).to_bytes(8, "little"))
    result = await finish(server, tmp_path)
    assert (result.resumed, server.seen()) == (len(DATA), [])


# Doubt


@pytest.mark.fault(28)
async def test_replaced_object_is_downloaded_whole(server: ScriptedServer, tmp_path: Path) -> None:
    await interrupted(server, tmp_path, Stored(DATA, etag='"before"'))
    server.on("/store/a.bin", Stored(DATA, etag='"after"'))
    assert (await finish(server, tmp_path)).resumed == 0


@pytest.mark.fault(91)
async def test_changed_local_bytes_cause_a_whole_download(server: ScriptedServer, tmp_path: Path) -> None:
    await interrupted(server, tmp_path)
    with (tmp_path / LEFT_OVER).open("r+b") as left:
        left.write(b"damage")
    result = await finish(server, tmp_path)
    assert (result.resumed, result.verified) == (0, True)


async def test_no_resumption_without_a_strong_validator(server: ScriptedServer, tmp_path: Path) -> None:
    weak = Stored(DATA, etag='W/"v1"')
    node = server.put("a.bin", DATA, half(weak))
    async with resuming(server) as api:
        with pytest.raises(TransferError):
            await remote(api, node).fetch(tmp_path)
    assert not temporaries(tmp_path)


@pytest.mark.parametrize("options", [{"resume": False}, {"verify": False}], ids=["resume=False", "verify=False"])
async def test_part_file_is_not_kept_without_resume_or_verify(
    server: ScriptedServer, tmp_path: Path, options: dict[str, bool]
) -> None:
    node = server.put("a.bin", DATA, half(Stored(DATA)))
    async with client(server, **{"part_size": PART, "attempts": 2, "resume": True} | options) as api:
        with pytest.raises(TransferError):
            await remote(api, node).fetch(tmp_path)
    assert not temporaries(tmp_path)


async def test_changed_listing_restarts_the_file(server: ScriptedServer, tmp_path: Path) -> None:
    await interrupted(server, tmp_path)
    server.put("a.bin", OTHER, Stored(OTHER, etag='"v2"'))
    async with resuming(server) as api:
        await api.run(RUN).download(tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == OTHER
    assert asked_bytes(server) == len(DATA)
    assert not temporaries(tmp_path)


async def test_wrong_bytes_leave_no_part_file(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", DATA, Stored(OTHER))
    async with resuming(server) as api:
        with pytest.raises(IntegrityError):
            await remote(api, node).fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def altered(left: Path, change: Callable[[Header], Header]) -> None:
    header = change(journal_of(left).header)
    text = left.read_bytes()
    left.write_bytes(text[: len(DATA)] + encode_header(header) + text[len(DATA) + HEADER_BYTES :])


UNTRUSTED: dict[str, Callable[[Header], Header]] = {
    "from before a reboot": lambda header: attrs.evolve(header, boot="another"),
    "from a machine with an unknown boot": lambda header: attrs.evolve(header, boot=""),
    "without a validator": lambda header: attrs.evolve(header, etag=""),
    "for another file": lambda header: attrs.evolve(header, md5=b"x" * 16),
}


@pytest.mark.parametrize("change", UNTRUSTED.values(), ids=UNTRUSTED.keys())
async def test_untrusted_part_file_is_removed(
    server: ScriptedServer, tmp_path: Path, change: Callable[[Header], Header]
) -> None:
    await interrupted(server, tmp_path)
    altered(tmp_path / LEFT_OVER, change)
    assert (await finish(server, tmp_path)).resumed == 0


async def test_part_file_of_another_machine_is_kept_for_a_day(server: ScriptedServer, tmp_path: Path) -> None:
    await interrupted(server, tmp_path)
    left = tmp_path / LEFT_OVER
    altered(left, lambda header: attrs.evolve(header, host="elsewhere", boot="another"))
    async with resuming(server) as api:
        await api.run(RUN).download(tmp_path)
        assert left.exists()
        yesterday = time.time() - 90_000
        os.utime(left, (yesterday, yesterday))
        await api.run(RUN).download(tmp_path, existing="replace")
    assert not temporaries(tmp_path)


@pytest.mark.fault(97, 98)
@pytest.mark.skipif(SYSTEM != "linux", reason="leases are Linux's; locks tell of downloads alone")
async def test_part_file_open_elsewhere_is_left_alone(server: ScriptedServer, tmp_path: Path) -> None:
    await interrupted(server, tmp_path)
    left = tmp_path / LEFT_OVER
    before = left.read_bytes()
    with left.open("rb"):
        async with resuming(server) as api:
            await api.run(RUN).download(tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert asked_bytes(server) == len(DATA)
    assert temporaries(tmp_path) == [left]
    assert left.read_bytes() == before


@pytest.mark.fault(98)
async def test_part_file_of_unknown_use_is_left_alone(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on network file systems."""
    await interrupted(server, tmp_path)

    def refuse(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(locks, "_lock", refuse)
    async with resuming(server) as api:
        await api.run(RUN).download(tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert temporaries(tmp_path) == [tmp_path / LEFT_OVER]


def a_link(left: Path) -> None:
    victim = left.with_name("victim")
    victim.write_bytes(left.read_bytes())
    left.unlink()
    left.symlink_to(victim)


def a_second_name(left: Path) -> None:
    left.with_name("victim").hardlink_to(left)


def open_to_others(left: Path) -> None:
    left.chmod(0o666)


def a_queue(left: Path) -> None:
    left.unlink()
    os.mkfifo(left)


def a_folder(left: Path) -> None:
    left.unlink()
    left.mkdir()


@pytest.mark.fault(109)
@pytest.mark.parametrize(
    "disguise",
    [
        *(a_link, a_second_name, a_queue, a_folder),
        pytest.param(open_to_others, marks=posix_only("permissions are the folder's")),
    ],
)
async def test_lookalike_of_a_part_file_is_not_used(
    server: ScriptedServer, tmp_path: Path, disguise: Callable[[Path], None]
) -> None:
    await interrupted(server, tmp_path)
    disguise(tmp_path / LEFT_OVER)
    victim = tmp_path / "victim"
    before = victim.read_bytes() if victim.exists() else None
    async with resuming(server) as api, asyncio.timeout(10):
        await api.run(RUN).download(tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert not (tmp_path / "a.bin").is_symlink()
    assert asked_bytes(server) == len(DATA)
    assert before is None or victim.read_bytes() == before


# Processes


@pytest.fixture
async def child(server: ScriptedServer, tmp_path: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A process that downloads the file, and stops midway."""
    reached, stored = asyncio.Event(), Stored(DATA)

    async def hold(seen: Seen) -> Answer:
        if seen.range and seen.range[0] >= 5 * PART:
            reached.set()
            await asyncio.Event().wait()
        return stored(seen)

    server.put("a.bin", DATA, hold)
    code = f"""
import asyncio
from wbfiles_async import AsyncApi, TransferOptions

async def main():
    options = TransferOptions(part_size={PART}, connections=1)
    async with AsyncApi(base_url={server.base_url!r}, api_key={"k" * 40!r}, options=options) as api:
        await api.run({RUN!r}).download({str(tmp_path)!r})

asyncio.run(main())
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:  # noqa: ASYNC220  # it only starts
        try:
            async with asyncio.timeout(30):
                await reached.wait()
            server.on("/store/a.bin", stored)
            server.requests.clear()
            yield process
        finally:
            process.kill()


@pytest.mark.fault(91)
async def test_part_file_of_a_killed_process_is_resumed(
    server: ScriptedServer, tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()
    result = await finish(server, tmp_path)
    assert result.resumed == 5 * PART
    assert asked_bytes(server) == 3 * PART


@pytest.mark.fault(97, 98)
async def test_part_file_of_a_running_process_is_not_touched(
    server: ScriptedServer, tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    [left] = temporaries(tmp_path)
    before = left.read_bytes()
    async with resuming(server) as api:
        await api.run(RUN).download(tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert asked_bytes(server) == len(DATA)
    assert left.read_bytes() == before
    assert child.poll() is None


def test_part_file_names_its_origin(tmp_path: Path) -> None:
    from wbfiles_async._disk.resume import header_for

    header = header_for(1, b"x" * 16, '"v1"')
    assert header.host == socket.gethostname()
    assert header.boot
