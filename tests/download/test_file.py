"""Downloads of one file: the guarantees of `download` and `fetch`, and every fault of the store."""

from __future__ import annotations

import asyncio
import functools
import gzip
import os
import pickle
import random
import stat
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from importlib import import_module
from pathlib import Path

import attrs
import httpx
import pytest
from scripted_server import (
    RUN,
    Answer,
    Program,
    ScriptedServer,
    Seen,
    Step,
    Stored,
    base64_md5,
    client,
    error_of,
    graphql_answer,
    refusal,
    remote,
    temporaries,
)
from scripted_server import server as server
from scripted_server import waits as waits
from systems import WINDOWS, WRITE, before_each_write, posix_only
from transports import each_transport

from wbfiles_async import (
    AsyncApi,
    AsyncFile,
    AuthenticationError,
    ConfigurationError,
    DestinationExistsError,
    IntegrityError,
    ObjectChangedError,
    PermissionDeniedError,
    RemoteFileNotFoundError,
    TransferError,
    WBFilesError,
)
from wbfiles_async._disk.journal import HEADER_BYTES

pytestmark = pytest.mark.usefixtures("waits")

MIB = 1 << 20
SMALL = 5000
LARGE = 3 * MIB + 123


@functools.cache
def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@attrs.frozen
class Shape:
    """One of the three ways a file's bytes are fetched."""

    name: str
    size: int
    part_size: int
    parts: int

    @property
    def data(self) -> bytes:
        return content(self.size)


SHAPES = (
    Shape("in memory", SMALL, MIB, 1),
    Shape("on disk in one piece", LARGE, 8 * MIB, 1),
    Shape("on disk in parts", LARGE, MIB, 4),
)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


class RecordedProgress:
    """Keeps what is reported as progress."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.count = 0

    def started(self, name: str, total: int | None) -> None:
        self.events.append(f"started {name} {total}")

    def advanced(self, name: str, count: int) -> None:
        self.count += count

    def finished(self, name: str) -> None:
        self.events.append(f"finished {name}")

    def failed(self, name: str, error: Exception) -> None:
        self.events.append(f"failed {name} {type(error).__name__}")


# Guarantees


async def test_download_returns_an_open_async_text_file(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("config.yaml", "a: ü\n".encode())
    async with client(server) as api, await remote(api, node).download(tmp_path) as text:
        assert await text.read() == "a: ü\n"
    assert text.closed
    assert (tmp_path / "config.yaml").read_bytes() == "a: ü\n".encode()


@each_shape
async def test_fetch_writes_the_bytes_below_the_root(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    node = server.put("media/images/ä b+c%.bin", shape.data)
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path / "new" / "root")
    assert path == tmp_path / "new" / "root" / "media" / "images" / "ä b+c%.bin"
    assert path.read_bytes() == shape.data
    assert not temporaries(tmp_path)


async def test_small_file_takes_one_request_to_the_store_only(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", content(SMALL))
    async with client(server) as api:
        await remote(api, node).fetch(tmp_path)
    assert [seen.path for seen in server.requests] == ["/store/a.bin"]
    assert "range" not in server.requests[0].headers


@pytest.mark.fault(32)
async def test_empty_file_is_never_requested_by_range(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("empty", b"")
    async with client(server) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == b""
    assert [seen.range for seen in server.seen()] == [None]


async def test_large_file_is_requested_in_disjoint_ranges(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", content(LARGE))
    async with client(server, part_size=MIB) as api:
        await remote(api, node).fetch(tmp_path)
    ranges = sorted(seen.range or (0, 0) for seen in server.seen())
    assert ranges == [(0, MIB), (MIB, 2 * MIB), (2 * MIB, 3 * MIB), (3 * MIB, LARGE)]
    assert {seen.headers.get("if-range") for seen in server.seen()} == {None}
    assert {seen.headers["accept-encoding"] for seen in server.seen()} == {"identity"}


async def test_file_of_unknown_size_is_one_request(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", content(LARGE), sizeBytes=None)
    async with client(server, part_size=MIB) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == content(LARGE)
    assert len(server.seen()) == 1


async def test_existing_file_raises_and_is_unchanged(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", b"new")
    (tmp_path / "a.bin").write_bytes(b"old")
    async with client(server) as api:
        error = await error_of(DestinationExistsError, remote(api, node).fetch(tmp_path))
    assert isinstance(error, ValueError)
    assert isinstance(error, FileExistsError)
    assert error.path == tmp_path / "a.bin"
    assert "replace=True" in str(error)
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert server.requests == []


async def test_exist_ok_returns_the_existing_file_without_a_request(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.txt", b"new")
    (tmp_path / "a.txt").write_bytes(b"old")
    async with client(server) as api, await remote(api, node).download(tmp_path, exist_ok=True) as text:
        assert await text.read() == "old"
    assert server.requests == []


async def test_existing_file_needs_no_request_after_pickling(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.txt", b"new")
    (tmp_path / "a.txt").write_bytes(b"old")
    async with client(server) as api:
        again: AsyncFile = pickle.loads(pickle.dumps(remote(api, node)))
        async with await again.download(tmp_path, exist_ok=True, api=api) as text:
            assert await text.read() == "old"
        await error_of(DestinationExistsError, again.download(tmp_path, api=api))
    assert server.requests == []


@pytest.mark.parametrize("exist_ok", [False, True])
async def test_replace_overrides_exist_ok(server: ScriptedServer, tmp_path: Path, exist_ok: bool) -> None:
    node = server.put("a.bin", b"new")
    (tmp_path / "a.bin").write_bytes(b"older and longer")
    async with client(server) as api:
        await remote(api, node).fetch(tmp_path, replace=True, exist_ok=exist_ok)
    assert (tmp_path / "a.bin").read_bytes() == b"new"


async def test_api_argument_replaces_the_lost_client(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.txt", b"text")
    async with client(server) as api:
        dumped = pickle.dumps(remote(api, node))
        again: AsyncFile = pickle.loads(dumped)
        await error_of(ConfigurationError, again.fetch(tmp_path))
        async with await again.download(tmp_path, api=api) as text:
            assert await text.read() == "text"
    # Pickling removes the signature, so a fresh URL was requested.
    assert [seen.path for seen in server.requests] == ["/graphql", "/store/a.txt"]


@posix_only("permissions are the folder's")
@pytest.mark.fault(109)
async def test_new_file_follows_the_umask(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", content(LARGE))
    (tmp_path / "usual").touch()
    async with client(server) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


@each_shape
async def test_progress_counts_every_byte_once(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    stored, progress = Stored(shape.data), RecordedProgress()
    node = server.put("a.bin", shape.data, stored.but(body=bytes(100), length=100), stored)
    async with client(server, part_size=shape.part_size) as api:
        await remote(api, node).fetch(tmp_path, progress=progress)
    assert progress.events == [f"started a.bin {shape.size}", "finished a.bin"]
    assert progress.count == shape.size


async def test_progress_reports_a_failure(server: ScriptedServer, tmp_path: Path) -> None:
    progress = RecordedProgress()
    node = server.put("a.bin", b"right", Answer(body=b"wrong"))
    async with client(server) as api:
        await error_of(IntegrityError, remote(api, node).fetch(tmp_path, progress=progress))
    assert progress.events == ["started a.bin 5", "failed a.bin IntegrityError"]


@pytest.mark.fault(92)
@each_shape
async def test_durable_flushes_file_and_folder(
    server: ScriptedServer, tmp_path: Path, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, bool]] = []
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        flushed.append((kind, (tmp_path / "a.bin").exists()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    node = server.put("a.bin", shape.data)
    async with client(server, part_size=shape.part_size, durable=True) as api:
        await remote(api, node).fetch(tmp_path)
    assert flushed == [("file", False), *([] if WINDOWS else [("folder", True)])]


# The disk, the event loop, and other clients


@pytest.mark.fault(102)
@each_shape
async def test_file_work_never_runs_on_the_event_loop_thread(
    server: ScriptedServer, tmp_path: Path, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_module("wbfiles_async._async.handle")  # loaded at its first use, once in a process
    here = threading.get_ident()
    calls: list[tuple[str, bool]] = []

    def watch(name: str) -> None:
        original: Callable[..., object] = getattr(os, name)

        def watched(*args: object, **kwargs: object) -> object:
            calls.append((name, threading.get_ident() == here))
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, watched)

    node = server.put("folder/a.txt", shape.data)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_bytes(b"old")
    async with client(server, part_size=shape.part_size, durable=True) as api:
        file = remote(api, node)
        # Without "close", which the event loop's sockets and selectors use.
        for name in ("open", WRITE, "pread", "stat", "mkdir", "replace", "link", "unlink", "fchmod", "fsync"):
            watch(name)
        handle = await file.download(tmp_path, replace=True)
        await handle.close()
        monkeypatch.undo()
    assert {"open", WRITE, "replace", "fsync"} <= {name for name, _ in calls}
    assert [name for name, on_loop in calls if on_loop] == []


@pytest.mark.fault(102)
async def test_slow_disk_blocks_neither_loop_nor_other_clients(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = server.put("slow", b"s" * SMALL), server.put("quick", b"q" * SMALL)
    release, blocked = threading.Event(), threading.Semaphore(0)

    def wait(piece: bytes | memoryview, _: int) -> None:
        if bytes(piece[:1]) == b"s":
            blocked.release()
            release.wait(10)

    before_each_write(monkeypatch, wait)
    async with client(server) as one, client(server) as other:
        # More slow writes than the first client has threads.
        writes = [asyncio.create_task(remote(one, slow).fetch(tmp_path / str(n))) for n in range(6)]
        await asyncio.to_thread(blocked.acquire)
        assert await remote(one, quick).read_bytes() == b"q" * SMALL
        await remote(other, quick).fetch(tmp_path)
        assert not any(write.done() for write in writes)
        release.set()
        await asyncio.gather(*writes)


async def test_two_clients_with_different_keys_and_servers_work_side_by_side(tmp_path: Path) -> None:
    async with ScriptedServer() as first, ScriptedServer() as second:
        gate = asyncio.Event()
        for server, data in ((first, b"one"), (second, b"two")):
            server.put("a", data, Answer(body=data, gate=gate), directUrl=None, url=f"{server.base_url}/store/a")
        async with (
            AsyncApi(base_url=first.base_url, api_key="1" * 40) as one,
            AsyncApi(base_url=second.base_url, api_key="2" * 40) as two,
        ):
            both = [
                asyncio.create_task((await api.run(RUN).file("a")).fetch(tmp_path / str(n)))
                for n, api in enumerate((one, two))
            ]
            while not (first.busy and second.busy):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            gate.set()
            paths = await asyncio.gather(*both)
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    sent = [{seen.headers["authorization"] for seen in server.requests} for server in (first, second)]
    assert len(sent[0]) == len(sent[1]) == 1
    assert sent[0] != sent[1]


# One temporary file, one publish


@pytest.mark.fault(109)
@each_shape
async def test_incomplete_file_is_private_and_the_old_one_stays(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
    gate = asyncio.Event()
    node = server.put("a.bin", shape.data, Stored(shape.data).but(gate=gate, gate_at=100))
    (tmp_path / "a.bin").write_bytes(b"old")
    async with client(server, part_size=shape.part_size) as api:
        task = asyncio.create_task(remote(api, node).fetch(tmp_path, replace=True))
        while server.busy < shape.parts:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        unfinished = temporaries(tmp_path)
        assert len(unfinished) == (0 if shape.name == "in memory" else 1)
        for path in unfinished:
            assert path.parent == tmp_path
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (tmp_path / "a.bin").read_bytes() == b"old"
        gate.set()
        await task
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == shape.data


@pytest.mark.fault(86)
@each_shape
@pytest.mark.parametrize("exist_ok", [False, True])
async def test_file_appearing_meanwhile_is_never_overwritten(
    server: ScriptedServer, tmp_path: Path, shape: Shape, exist_ok: bool
) -> None:
    gate = asyncio.Event()
    node = server.put("a.bin", shape.data, Stored(shape.data).but(gate=gate))
    async with client(server, part_size=shape.part_size) as api:
        task = asyncio.create_task(remote(api, node).fetch(tmp_path, exist_ok=exist_ok))
        while not server.busy:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        (tmp_path / "a.bin").write_bytes(b"theirs")
        gate.set()
        if exist_ok:
            await task
        else:
            await error_of(DestinationExistsError, task)
    assert (tmp_path / "a.bin").read_bytes() == b"theirs"
    assert not temporaries(tmp_path)


@pytest.mark.fault(97)
@each_shape
async def test_concurrent_downloads_leave_one_complete_file(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
    one, two = shape.data, content(shape.size, seed=1)
    nodes = [server.put("one", one), server.put("two", two)]
    async with client(server, part_size=shape.part_size) as api:
        files = [remote(api, node | {"name": "same"}) for node in nodes]
        await asyncio.gather(*(file.fetch(tmp_path, replace=True) for file in files))
        assert (tmp_path / "same").read_bytes() in (one, two)
        outcomes = await asyncio.gather(*(file.fetch(tmp_path / "new") for file in files), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(DestinationExistsError) == 1
    assert (tmp_path / "new" / "same").read_bytes() in (one, two)
    assert not temporaries(tmp_path)


# Faults of the connection

BROKEN: dict[str, dict[str, object]] = {
    "shorter than Content-Length": {"end": "close"},
    "closed without a length": {"end": "close", "framing": "none"},
    "truncated before the last chunk": {"end": "close", "framing": "chunked"},
    "reset": {"end": "reset"},
    "silent": {"end": "stall"},
}
each_break = pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())


@each_transport
@pytest.mark.fault(1, 2, 3, 6, 12)
@each_shape
@each_break
async def test_truncated_body_is_resumed(
    server: ScriptedServer, tmp_path: Path, shape: Shape, fault: dict[str, object]
) -> None:
    stored = Stored(shape.data)
    node = server.put("a.bin", shape.data, stored.but(cut=1000, **fault), stored)
    async with client(server, part_size=shape.part_size, stall_seconds=0.2) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == shape.data
    first, *rest = server.seen()
    assert len(rest) == shape.parts
    begun = first.range[0] if first.range else 0
    again = [seen for seen in rest if seen.range and seen.range[0] > begun and seen.range[0] % MIB]
    assert len(again) == 1
    assert again[0].headers["if-match"] == '"v1"'


@each_transport
@pytest.mark.fault(1, 2, 3, 6, 12, 87)
@each_shape
@each_break
async def test_always_truncated_body_raises_and_keeps_the_old_file(
    server: ScriptedServer, tmp_path: Path, shape: Shape, fault: dict[str, object]
) -> None:
    node = server.put("a.bin", shape.data, Stored(shape.data).but(cut=1000, **fault))
    (tmp_path / "a.bin").write_bytes(b"old")
    async with client(server, part_size=shape.part_size, stall_seconds=0.2, attempts=2) as api:
        error = await error_of(TransferError, remote(api, node).fetch(tmp_path, replace=True))
    assert error.name == "a.bin"
    assert error.host == httpx.URL(server.base_url).host
    assert error.offset
    assert "a.bin" in str(error)
    assert error.host in str(error)
    assert str(error.offset) in str(error)
    assert len(server.seen()) <= 2 * shape.parts
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert not temporaries(tmp_path)


@each_transport
@pytest.mark.fault(2, 50)
async def test_always_truncated_file_of_unknown_length_ends(server: ScriptedServer, tmp_path: Path) -> None:
    # Bytes that cannot be resumed are no progress, however many have arrived.
    node = server.put("a.bin", content(LARGE), Stored(content(LARGE)).but(cut=LARGE - 1, end="close"), sizeBytes=None)
    async with client(server, attempts=3) as api, asyncio.timeout(20):
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert len(server.seen()) == 3
    assert list(tmp_path.iterdir()) == []


@each_transport
@pytest.mark.fault(13)
@each_shape
async def test_trickle_is_abandoned_and_resumed(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    stored = Stored(shape.data)
    node = server.put("a.bin", shape.data, stored.but(piece=1, pause=0.05), stored)
    async with client(server, part_size=shape.part_size, stall_seconds=0.2) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == shape.data
    assert len(server.seen()) == shape.parts + 1


@each_transport
@pytest.mark.fault(15)
async def test_slow_but_healthy_connection_is_no_fault(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", content(20), Answer(body=content(20), piece=1, pause=0.02))
    async with client(server, stall_seconds=0.1, stall_bytes=2) as api:
        await remote(api, node).fetch(tmp_path)
    assert len(server.seen()) == 1


@each_transport
@pytest.mark.fault(14)
@each_shape
async def test_silent_response_is_retried_on_a_new_connection(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
    node = server.put("a.bin", shape.data, Answer(gate=asyncio.Event()), Stored(shape.data))
    async with client(server, part_size=shape.part_size, stall_seconds=0.2) as api:
        await remote(api, node).fetch(tmp_path)
    silent, *rest = server.seen()
    assert len(rest) == shape.parts
    assert silent.connection not in {seen.connection for seen in rest}


@each_transport
@pytest.mark.fault(13)
async def test_trickling_refusal_is_abandoned(server: ScriptedServer, tmp_path: Path) -> None:
    endless = refusal(503, "SlowDown").but(piece=1, pause=0.05, endless=True, framing="chunked")
    node = server.put("a.bin", b"data", endless, Stored(b"data"))
    async with client(server, stall_seconds=0.2) as api, asyncio.timeout(5):
        await remote(api, node).fetch(tmp_path)
    assert len(server.seen()) == 2


@each_transport
@pytest.mark.fault(5)
@each_shape
@pytest.mark.parametrize("framing", ["chunked", "none"])
async def test_oversized_body_is_cut_off(
    server: ScriptedServer, tmp_path: Path, shape: Shape, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = server.put("a.bin", shape.data, Stored(shape.data).but(endless=True, framing=framing))
    furthest = 0

    def watch(piece: bytes | memoryview, offset: int) -> None:
        nonlocal furthest
        furthest = max(furthest, offset + len(piece))

    before_each_write(monkeypatch, watch)
    async with client(server, part_size=shape.part_size) as api:
        error = await error_of(IntegrityError, remote(api, node).fetch(tmp_path))
    assert "more than" in error.actual
    assert furthest <= shape.size + HEADER_BYTES, "nothing is written behind the file but what it is"
    assert len(server.seen()) <= 2 * shape.parts
    assert list(tmp_path.iterdir()) == []


# Faults of the bytes


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@each_transport
@pytest.mark.fault(9)
@each_shape
async def test_flipped_bit_causes_one_whole_download(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    bad, good = Stored(flipped(shape.data, 4000)), Stored(shape.data)
    steps: list[Step] = [*([bad] * shape.parts), good]
    node = server.put("a.bin", shape.data, *steps)
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == shape.data
    assert len(server.seen()) == 2 * shape.parts


@each_transport
@pytest.mark.fault(9, 10, 87)
@each_shape
async def test_wrong_bytes_twice_raise_with_both_digests(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    node = server.put("a.bin", shape.data, Stored(flipped(shape.data, shape.size - 1)))
    (tmp_path / "a.bin").write_bytes(b"old")
    async with client(server, part_size=shape.part_size) as api:
        error = await error_of(IntegrityError, remote(api, node).fetch(tmp_path, replace=True))
    assert error.expected != error.actual
    assert error.expected in str(error)
    assert error.actual in str(error)
    assert len(server.seen()) == 2 * shape.parts
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert not temporaries(tmp_path)


@each_transport
@each_shape
async def test_wrong_bytes_pass_only_without_verification(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    wrong = flipped(shape.data, 0)
    node = server.put("a.bin", shape.data, Stored(wrong))
    async with client(server, part_size=shape.part_size, verify=False) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == wrong


@each_transport
@pytest.mark.fault(2, 4, 24)
@each_shape
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
async def test_short_complete_response_is_never_published(
    server: ScriptedServer, tmp_path: Path, shape: Shape, framing: str
) -> None:
    node = server.put("a.bin", shape.data, Stored(shape.data[:-10]).but(framing=framing))
    async with client(server, part_size=shape.part_size) as api:
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert 1 <= len(server.seen("/graphql")) <= 2
    assert len(server.seen()) <= 6 * shape.parts
    assert list(tmp_path.iterdir()) == []


@each_transport
@pytest.mark.fault(24, 28)
@each_shape
async def test_outdated_listing_is_refreshed(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    new = content(shape.size + 10, seed=1)
    stale = server.put("a.bin", shape.data)
    server.put("a.bin", new)
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, stale).fetch(tmp_path)
    assert path.read_bytes() == new
    assert len(server.seen("/graphql")) == 1


# Ranges that are not served as requested


@each_transport
@pytest.mark.fault(19)
@each_shape
async def test_store_without_ranges_is_remembered(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    whole = Stored(shape.data, ranges=False)
    nodes = [server.put("a.bin", shape.data, whole), server.put("b.bin", shape.data, whole)]
    async with client(server, part_size=shape.part_size) as api:
        paths = [await remote(api, node).fetch(tmp_path) for node in nodes]
    assert [path.read_bytes() for path in paths] == [shape.data, shape.data]
    assert server.seen("/store/a.bin")[-1].range is None
    assert [seen.range for seen in server.seen("/store/b.bin")] == [None]
    assert not temporaries(tmp_path)


@each_transport
@pytest.mark.fault(19)
async def test_truncated_body_without_ranges_restarts(server: ScriptedServer, tmp_path: Path) -> None:
    whole = Stored(content(SMALL), ranges=False)
    node = server.put("a.bin", content(SMALL), whole.but(cut=1000, end="close"), whole)
    async with client(server) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == content(SMALL)


MISPLACED = {
    "no Content-Range": None,
    "another range": f"bytes 5-6/{LARGE}",
    "W&B's store's answer for nothing": "bytes 0--1/0",
    "an asterisk": "*",
    "an unsatisfied range": f"bytes */{LARGE}",
    "twenty digits": f"bytes 0-{MIB - 1}/99999999999999999999",
    "a backwards range": f"bytes {MIB - 1}-0/{LARGE}",
    "another unit": f"lines 0-{MIB - 1}/{LARGE}",
    "a sign": f"bytes +0-{MIB - 1}/{LARGE}",
    "digits of another kind": "bytes \xb2-\xb3/\xb9",
}


@each_transport
@pytest.mark.fault(21, 27)
@pytest.mark.parametrize("place", MISPLACED.values(), ids=MISPLACED.keys())
async def test_partial_response_without_valid_content_range_falls_back(
    server: ScriptedServer, tmp_path: Path, place: str | None
) -> None:
    stored = Stored(content(LARGE))

    def misplaced(seen: Seen) -> Answer:
        answer = stored(seen)
        if seen.range is None:
            return answer
        headers = {name: value for name, value in answer.headers.items() if name != "Content-Range"}
        return answer.but(headers=headers if place is None else headers | {"Content-Range": place})

    node = server.put("a.bin", content(LARGE), misplaced)
    async with client(server, part_size=MIB) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == content(LARGE)
    assert server.seen()[-1].range is None


@each_transport
@pytest.mark.fault(25)
async def test_multipart_response_falls_back(server: ScriptedServer, tmp_path: Path) -> None:
    stored = Stored(content(LARGE))

    def multipart(seen: Seen) -> Answer:
        headers = {"Content-Type": "multipart/byteranges; boundary=x", "ETag": '"v1"'}
        return (
            stored(seen) if seen.range is None else Answer(status=206, headers=headers, body=b"--x\r\n\r\nno\r\n--x--")
        )

    node = server.put("a.bin", content(LARGE), multipart)
    async with client(server, part_size=MIB) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == content(LARGE)


@each_transport
@pytest.mark.fault(26)
@pytest.mark.parametrize("longer", [-10, 10])
async def test_partial_response_of_wrong_length_falls_back(server: ScriptedServer, tmp_path: Path, longer: int) -> None:
    stored = Stored(content(LARGE))

    def contradictory(seen: Seen) -> Answer:
        answer = stored(seen)
        return answer if seen.range is None else answer.but(body=(answer.body + bytes(10))[: len(answer.body) + longer])

    node = server.put("a.bin", content(LARGE), contradictory)
    async with client(server, part_size=MIB) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == content(LARGE)


@each_transport
async def test_shorter_partial_responses_are_continued(server: ScriptedServer, tmp_path: Path) -> None:
    stored = Stored(content(LARGE))

    def miserly(seen: Seen) -> Answer:
        start, stop = seen.range or (0, LARGE)
        given = attrs.evolve(seen, headers={"range": f"bytes={start}-{min(stop or LARGE, start + 400_000) - 1}"})
        return stored(given)

    node = server.put("a.bin", content(LARGE), miserly)
    async with client(server, part_size=MIB) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == content(LARGE)


@each_transport
@pytest.mark.fault(35, 37)
@each_shape
async def test_corrupt_compressed_body_raises(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    body = gzip.compress(shape.data, 1)
    corrupt = Answer(headers={"Content-Encoding": "gzip"}, body=body[:100] + bytes(20) + body[120:])
    node = server.put("a.bin", shape.data, corrupt)
    async with client(server, part_size=shape.part_size) as api:
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert list(tmp_path.iterdir()) == []


# The object is replaced meanwhile


def changing(
    server: ScriptedServer, old: Stored, new: Stored, *, listed: bool = True, supports_if_match: bool = True
) -> Program:
    """Serve the old object once, then the new one, which the listing shows if ``listed``."""

    def answer(seen: Seen) -> Answer:
        if not supports_if_match:
            headers = {name: value for name, value in seen.headers.items() if name != "if-match"}
            seen = attrs.evolve(seen, headers=headers)
        if len(server.seen()) == 1:
            if listed:
                server.files["a.bin"] |= {"md5": base64_md5(new.data), "updatedAt": "2026-01-02T00:00:00"}
            return old(seen).but(cut=1000, end="close")
        return new(seen)

    return answer


CHANGES = {
    "answered by 412": ('"v1"', '"v2"', True),
    "answered despite If-Match": ('"v1"', '"v2"', False),
    "recognizable only by the md5": (None, None, False),
    "only weak tags": ('W/"1"', 'W/"2"', False),
}


@each_transport
@pytest.mark.fault(28, 29, 30)
@each_shape
@pytest.mark.parametrize(("before", "after", "supports_if_match"), CHANGES.values(), ids=CHANGES.keys())
async def test_replaced_object_is_never_mixed(
    server: ScriptedServer, tmp_path: Path, shape: Shape, before: str | None, after: str | None, supports_if_match: bool
) -> None:
    old, new = Stored(shape.data, before), Stored(content(shape.size, seed=1), after)
    node = dict(server.put("a.bin", old.data, changing(server, old, new, supports_if_match=supports_if_match)))
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == new.data
    assert len(server.seen("/graphql")) == 1


@each_transport
@pytest.mark.fault(28, 29)
@each_shape
@pytest.mark.parametrize("supports_if_match", [False, True])
async def test_etag_distinguishes_objects_without_md5(
    server: ScriptedServer, tmp_path: Path, shape: Shape, supports_if_match: bool
) -> None:
    old, new = Stored(shape.data, '"v1"'), Stored(content(shape.size, seed=1), '"v2"')
    program = changing(server, old, new, listed=False, supports_if_match=supports_if_match)
    node = server.put("a.bin", old.data, program, md5=None)
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == new.data


@each_transport
@each_shape
async def test_object_stored_again_with_the_same_bytes_is_downloaded(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
    old, new = Stored(shape.data, '"v1"'), Stored(shape.data, '"v2"')
    node = server.put("a.bin", shape.data, changing(server, old, new, listed=False))
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == shape.data


@each_transport
@pytest.mark.fault(28)
@each_shape
async def test_constantly_changing_object_raises_after_two_restarts(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
    def restless(seen: Seen) -> Answer:
        return Stored(shape.data, f'"v{len(server.seen())}"')(seen).but(cut=10, end="close")

    node = server.put("a.bin", shape.data, restless)
    async with client(server, part_size=shape.part_size, attempts=9) as api:
        error = await error_of(ObjectChangedError, remote(api, node).fetch(tmp_path))
    assert "a.bin" in str(error)
    assert len(server.seen("/graphql")) <= 2
    assert list(tmp_path.iterdir()) == []


# Refusals


@each_transport
@pytest.mark.fault(34)
@each_shape
async def test_refusal_body_is_never_in_the_file(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    refused = refusal(500, "InternalError", "x" * 3000)
    node = server.put(
        "a.bin", shape.data, refused, Stored(shape.data).but(cut=500, end="close"), refused, Stored(shape.data)
    )
    async with client(server, part_size=shape.part_size, attempts=4) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == shape.data


@each_transport
@pytest.mark.fault(33, 34, 49)
@pytest.mark.parametrize("status", [400, 403, 404, 405, 410, 416, 451, 500, 501, 503, 505])
async def test_lasting_refusal_raises_with_the_stores_message(
    server: ScriptedServer, tmp_path: Path, waits: list[float], status: int
) -> None:
    node = server.put("a.bin", b"data", refusal(status, "SomeReason", "Because of it."))
    async with client(server) as api:
        error = await error_of(WBFilesError, remote(api, node).fetch(tmp_path))
    assert f"status {status} SomeReason (Because of it.)" in str(error)
    assert list(tmp_path.iterdir()) == []
    assert len(server.seen()) <= 3


@each_transport
@pytest.mark.fault(49)
@pytest.mark.parametrize("status", [400, 405, 451, 501, 505])
async def test_permanent_refusal_is_tried_once(server: ScriptedServer, tmp_path: Path, status: int) -> None:
    node = server.put("a.bin", b"data", refusal(status, "SomeReason"))
    async with client(server) as api:
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert len(server.requests) == 1


@each_transport
@each_shape
async def test_unsatisfiable_range_is_listed_again_then_raised(
    server: ScriptedServer, tmp_path: Path, shape: Shape, waits: list[float]
) -> None:
    node = server.put("a.bin", shape.data, refusal(416, "InvalidRange"))
    async with client(server, part_size=shape.part_size, attempts=50) as api:
        error = await error_of(ObjectChangedError, remote(api, node).fetch(tmp_path))
    assert "416 InvalidRange" in str(error)
    assert 1 <= len(server.seen("/graphql")) <= 2
    assert len(server.seen()) <= 3 * shape.parts
    assert waits == []
    assert list(tmp_path.iterdir()) == []


@each_transport
@pytest.mark.fault(49, 50)
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 522, 524])
async def test_passing_refusal_is_retried_as_configured(
    server: ScriptedServer, tmp_path: Path, waits: list[float], status: int
) -> None:
    node = server.put("a.bin", b"data", refusal(status, "SlowDown"))
    async with client(server, attempts=5) as api:
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert len(server.requests) == 5
    assert len(waits) == 4
    assert 0 < waits[0] < waits[-1]


@each_transport
@pytest.mark.fault(50)
async def test_lasting_fault_ends_with_the_time_budget(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", b"data", refusal(503, "SlowDown"))
    async with client(server, attempts=1000, time_budget=0.5) as api, asyncio.timeout(3):
        error = await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert any("Gave up after" in note for note in error.__notes__)
    assert 2 <= len(server.requests) < 15


@each_transport
@pytest.mark.fault(48)
@pytest.mark.parametrize(("verify", "attempts"), [(False, 3), (True, 7)], ids=["concurrent", "sequential"])
async def test_throttled_parts_all_arrive_in_the_end(
    server: ScriptedServer, tmp_path: Path, waits: list[float], verify: bool, attempts: int
) -> None:
    data = content(LARGE)
    node = server.put("a.bin", data, *([refusal(503, "SlowDown")] * 6), Stored(data))
    tries = 7 if server.transport.tls else attempts  # over TLS a file begins with one connection
    async with client(server, part_size=MIB // 4, connections=6, attempts=tries, verify=verify) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == data


WAITS = {
    "seconds": ("2", 2.0, 2.3),
    "a fraction": ("1.5", 1.5, 1.8),
    "a date": ("in eight seconds", 5.0, 9.0),
    "a past date": ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0, 0.2),
    "a past date in C's form": ("Sun Nov  6 08:49:37 1994", 0.0, 0.2),
    "a past date in the oldest form": ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0, 0.2),
    "a negative number": ("-5", 0.0, 0.2),
    "a digit that is none": ("\xb2", 0.0, 0.2),
    "words": ("soon", 0.0, 0.2),
    "nothing": ("", 0.0, 0.2),
}


@each_transport
@pytest.mark.fault(47)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("value", "least", "most"), WAITS.values(), ids=WAITS.keys())
async def test_retry_after_is_honoured_in_every_form(
    server: ScriptedServer, tmp_path: Path, waits: list[float], status: int, value: str, least: float, most: float
) -> None:
    value = formatdate(time.time() + 8, usegmt=True) if value == "in eight seconds" else value
    node = server.put("a.bin", b"data", refusal(status, "SlowDown", Retry_After=value), Stored(b"data"))
    async with client(server) as api:
        await remote(api, node).fetch(tmp_path)
    assert len(waits) == 1
    assert least <= waits[0] <= most


@each_transport
@pytest.mark.fault(47, 103)
async def test_wait_beyond_the_time_budget_fails_at_once(
    server: ScriptedServer, tmp_path: Path, waits: list[float]
) -> None:
    node = server.put("a.bin", b"data", refusal(503, "SlowDown", Retry_After="1000000000"))
    async with client(server, time_budget=20.0) as api:
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert len(server.requests) == 1
    assert waits == []


# Signed URLs that expire

EXPIRED = {
    "S3": refusal(403, "AccessDenied", "Request has expired"),
    "S3, a temporary credential": refusal(400, "ExpiredToken", "The provided token has expired."),
    "GCS": refusal(400, "ExpiredToken", "Invalid argument."),
    "Azure": refusal(403, "AuthenticationFailed", "Signature not valid in the specified time frame"),
}


def expiring(server: ScriptedServer, stored: Stored, expired: Answer) -> Program:
    """Serve only requests with the latest listed URL; each listing has a new one."""
    issued = 0

    def renew(seen: Seen) -> Answer:
        nonlocal issued
        issued += 1
        for node in server.files.values():
            node["directUrl"] = f"{server.url('/store/' + str(node['name']))}&generation={issued}"
        return server.list_files(seen)

    def answer(seen: Seen) -> Answer:
        return stored(seen) if issued and seen.target.endswith(f"&generation={issued}") else expired

    server.on("/graphql", renew)
    return answer


@each_transport
@pytest.mark.fault(41, 42, 104)
@each_shape
@pytest.mark.parametrize("expired", EXPIRED.values(), ids=EXPIRED.keys())
async def test_expired_url_is_renewed_once_for_all_parts(
    server: ScriptedServer, tmp_path: Path, shape: Shape, expired: Answer
) -> None:
    node = dict(server.put("a.bin", shape.data, expiring(server, Stored(shape.data), expired)))
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == shape.data
    assert len(server.seen("/graphql")) == 1


async def streamed(file: AsyncFile) -> bytes:
    return b"".join([piece async for piece in file.stream()])


@each_transport
@pytest.mark.parametrize("read", [AsyncFile.read_bytes, streamed])
@pytest.mark.parametrize("expired", EXPIRED.values(), ids=EXPIRED.keys())
async def test_expired_url_is_renewed_before_the_first_byte(
    server: ScriptedServer, read: Callable[[AsyncFile], Awaitable[bytes]], expired: Answer
) -> None:
    """The object was replaced after it was listed, too: the new one is read."""
    node = dict(server.put("a.bin", b"before"))
    stored = Stored(b"a longer one", etag='"v2"')
    server.put("a.bin", stored.data, expiring(server, stored, expired), updatedAt="2026-03-03T00:00:00")
    async with client(server) as api:
        assert await read(remote(api, node)) == stored.data
    assert len(server.seen("/graphql")) == 1


@each_transport
@pytest.mark.fault(41)
@each_shape
async def test_renewed_url_continues_with_the_same_object(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    stored = Stored(shape.data)
    node = dict(server.put("a.bin", shape.data))
    renewed = expiring(server, stored, EXPIRED["S3"])
    server.on("/store/a.bin", stored.but(cut=1000, end="close"), renewed)
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == shape.data
    resumed = [seen for seen in server.seen() if seen.range and seen.range[0] % MIB]
    assert resumed
    assert {seen.headers.get("if-match") for seen in resumed} == {'"v1"'}


@each_transport
@pytest.mark.fault(43)
@each_shape
async def test_real_refusal_raises_after_bounded_renewals(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    node = server.put("a.bin", shape.data, refusal(403, "AccessDenied", "Access Denied"))
    async with client(server, part_size=shape.part_size) as api:
        error = await error_of(PermissionDeniedError, remote(api, node).fetch(tmp_path))
    assert isinstance(error, PermissionError)
    assert len(server.seen("/graphql")) <= 2
    assert len(server.seen()) <= 3 * shape.parts


@each_transport
@pytest.mark.fault(44)
async def test_refused_key_for_a_file_is_one_request(server: ScriptedServer, tmp_path: Path) -> None:
    server.on("/files/a.bin", Answer(status=401, body=b'{"error": "user is not logged in"}'))
    node = server.put("a.bin", b"data", url=f"{server.base_url}/files/a.bin", directUrl=None)
    async with client(server) as api:
        error = await error_of(AuthenticationError, remote(api, node).fetch(tmp_path))
    assert "api_key" in str(error)
    assert len(server.requests) == 1


@each_transport
@pytest.mark.fault(46)
async def test_file_deleted_meanwhile_raises_not_found(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", b"data", refusal(404, "NoSuchKey"))
    server.files.clear()
    async with client(server) as api:
        error = await error_of(RemoteFileNotFoundError, remote(api, node).fetch(tmp_path))
    assert (error.name, error.run) == ("a.bin", RUN)
    assert len(server.seen()) == 1


@each_transport
@pytest.mark.fault(46)
async def test_listed_file_missing_in_the_store_is_retried(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", b"data", refusal(404, "NoSuchKey"), Stored(b"data"))
    async with client(server) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == b"data"


@each_transport
async def test_refused_renewal_raises_the_api_error(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", b"data", EXPIRED["S3"])
    server.on("/graphql", graphql_answer(None, status=401))
    async with client(server) as api:
        await error_of(AuthenticationError, remote(api, node).fetch(tmp_path))


async def test_client_works_after_every_kind_of_failure(server: ScriptedServer, tmp_path: Path) -> None:
    faults: list[Step] = [refusal(500, "x"), Answer(head=b"garbage\r\n\r\n"), Stored(b"wrong"), *EXPIRED.values()]
    bad = [server.put(f"bad{n}", content(LARGE), fault) for n, fault in enumerate(faults)]
    good = server.put("good", content(LARGE))
    async with client(server, connections=2, part_size=MIB, attempts=2) as api:
        for node in bad:
            with suppress(OSError):
                await remote(api, node).fetch(tmp_path)
        async with asyncio.timeout(5):
            path = await remote(api, good).fetch(tmp_path)
    assert [found.name for found in tmp_path.iterdir()] == ["good"]
    assert path.read_bytes() == content(LARGE)
