"""The download of one file: the contract of `download` and `fetch`, and every fault of the store."""

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
from collections.abc import Callable
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


class Told:
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


# The contract


async def test_download_gives_the_file_open_for_awaited_reads_as_text(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("config.yaml", "a: ü\n".encode())
    async with client(server) as api, await remote(api, node).download(tmp_path) as text:
        assert await text.read() == "a: ü\n"
    assert text.closed
    assert (tmp_path / "config.yaml").read_bytes() == "a: ü\n".encode()


@each_shape
async def test_fetch_writes_the_same_bytes_to_root_and_name(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
    node = server.put("media/images/ä b+c%.bin", shape.data)
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path / "new" / "root")
    assert path == tmp_path / "new" / "root" / "media" / "images" / "ä b+c%.bin"
    assert path.read_bytes() == shape.data
    assert not temporaries(tmp_path)


async def test_a_small_file_costs_one_request_to_the_store_and_none_to_the_api(
    server: ScriptedServer, tmp_path: Path
) -> None:
    node = server.put("a.bin", content(SMALL))
    async with client(server) as api:
        await remote(api, node).fetch(tmp_path)
    assert [seen.path for seen in server.requests] == ["/store/a.bin"]
    assert "range" not in server.requests[0].headers


@pytest.mark.fault(32)
async def test_an_empty_file_is_written_and_never_asked_for_with_a_range(
    server: ScriptedServer, tmp_path: Path
) -> None:
    node = server.put("empty", b"")
    async with client(server) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == b""
    assert [seen.range for seen in server.seen()] == [None]


async def test_a_large_file_comes_in_ranges_that_are_the_whole_without_overlap(
    server: ScriptedServer, tmp_path: Path
) -> None:
    node = server.put("a.bin", content(LARGE))
    async with client(server, part_size=MIB) as api:
        await remote(api, node).fetch(tmp_path)
    ranges = sorted(seen.range or (0, 0) for seen in server.seen())
    assert ranges == [(0, MIB), (MIB, 2 * MIB), (2 * MIB, 3 * MIB), (3 * MIB, LARGE)]
    assert {seen.headers.get("if-range") for seen in server.seen()} == {None}
    assert {seen.headers["accept-encoding"] for seen in server.seen()} == {"identity"}


async def test_a_file_of_unknown_size_comes_in_one_piece(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", content(LARGE), sizeBytes=None)
    async with client(server, part_size=MIB) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == content(LARGE)
    assert len(server.seen()) == 1


async def test_an_existing_file_is_an_error_of_both_kinds_and_stays_as_it_is(
    server: ScriptedServer, tmp_path: Path
) -> None:
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


async def test_exist_ok_gives_what_is_there_without_a_request(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.txt", b"new")
    (tmp_path / "a.txt").write_bytes(b"old")
    async with client(server) as api, await remote(api, node).download(tmp_path, exist_ok=True) as text:
        assert await text.read() == "old"
    assert server.requests == []


async def test_what_is_there_needs_no_request_for_a_pickled_file_either(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.txt", b"new")
    (tmp_path / "a.txt").write_bytes(b"old")
    async with client(server) as api:
        again: AsyncFile = pickle.loads(pickle.dumps(remote(api, node)))
        async with await again.download(tmp_path, exist_ok=True, api=api) as text:
            assert await text.read() == "old"
        await error_of(DestinationExistsError, again.download(tmp_path, api=api))
    assert server.requests == []


@pytest.mark.parametrize("exist_ok", [False, True])
async def test_replace_overwrites_whether_or_not_existing_is_fine(
    server: ScriptedServer, tmp_path: Path, exist_ok: bool
) -> None:
    node = server.put("a.bin", b"new")
    (tmp_path / "a.bin").write_bytes(b"older and longer")
    async with client(server) as api:
        await remote(api, node).fetch(tmp_path, replace=True, exist_ok=exist_ok)
    assert (tmp_path / "a.bin").read_bytes() == b"new"


async def test_the_api_argument_stands_in_for_the_client_that_a_pickled_file_lost(
    server: ScriptedServer, tmp_path: Path
) -> None:
    node = server.put("a.txt", b"text")
    async with client(server) as api:
        dumped = pickle.dumps(remote(api, node))
        again: AsyncFile = pickle.loads(dumped)
        await error_of(ConfigurationError, again.fetch(tmp_path))
        async with await again.download(tmp_path, api=api) as text:
            assert await text.read() == "text"
    # The signature was taken out before pickling, so a fresh one was requested.
    assert [seen.path for seen in server.requests] == ["/graphql", "/store/a.txt"]


@posix_only("permissions are the folder's")
@pytest.mark.fault(109)
async def test_the_new_file_has_the_permissions_that_the_umask_gives(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", content(LARGE))
    (tmp_path / "usual").touch()
    async with client(server) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


@each_shape
async def test_progress_is_told_of_every_byte_once(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    stored, told = Stored(shape.data), Told()
    node = server.put("a.bin", shape.data, stored.but(body=bytes(100), length=100), stored)
    async with client(server, part_size=shape.part_size) as api:
        await remote(api, node).fetch(tmp_path, progress=told)
    assert told.events == [f"started a.bin {shape.size}", "finished a.bin"]
    assert told.count == shape.size


async def test_progress_is_told_of_a_failure(server: ScriptedServer, tmp_path: Path) -> None:
    told = Told()
    node = server.put("a.bin", b"right", Answer(body=b"wrong"))
    async with client(server) as api:
        await error_of(IntegrityError, remote(api, node).fetch(tmp_path, progress=told))
    assert told.events == ["started a.bin 5", "failed a.bin IntegrityError"]


@pytest.mark.fault(92)
@each_shape
async def test_durable_flushes_the_file_before_and_the_folder_after_it_is_published(
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


# The disk, the loop, and other clients


@pytest.mark.fault(102)
@each_shape
async def test_file_work_is_never_done_on_the_loops_thread(
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
        # "close" is left out: the loop's own sockets and selectors use it.
        for name in ("open", WRITE, "pread", "stat", "mkdir", "replace", "link", "unlink", "fchmod", "fsync"):
            watch(name)
        handle = await file.download(tmp_path, replace=True)
        await handle.close()
        monkeypatch.undo()
    assert {"open", WRITE, "replace", "fsync"} <= {name for name, _ in calls}
    assert [name for name, on_loop in calls if on_loop] == []


@pytest.mark.fault(102)
async def test_a_slow_disk_holds_up_neither_the_loop_nor_another_client(
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
        # As many slow writes as the first client has threads, and more.
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
async def test_until_it_is_whole_there_is_a_private_sibling_and_the_old_file(
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
async def test_a_file_that_appears_meanwhile_is_never_overwritten_without_replace(
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
async def test_of_two_downloads_to_one_place_one_is_there_whole(
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
    "closed, and no length was given": {"end": "close", "framing": "none"},
    "cut before the last chunk": {"end": "close", "framing": "chunked"},
    "reset": {"end": "reset"},
    "silent": {"end": "stall"},
}
each_break = pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())


@each_transport
@pytest.mark.fault(1, 2, 3, 6, 12)
@each_shape
@each_break
async def test_a_body_that_breaks_off_is_taken_up_where_it_broke(
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
async def test_a_body_that_always_breaks_off_is_an_error_and_the_old_file_stays(
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
async def test_a_large_file_of_unknown_length_that_always_breaks_off_is_not_begun_again_for_ever(
    server: ScriptedServer, tmp_path: Path
) -> None:
    # What cannot be taken up where it broke was no progress, however many bytes have arrived.
    node = server.put("a.bin", content(LARGE), Stored(content(LARGE)).but(cut=LARGE - 1, end="close"), sizeBytes=None)
    async with client(server, attempts=3) as api, asyncio.timeout(20):
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert len(server.seen()) == 3
    assert list(tmp_path.iterdir()) == []


@each_transport
@pytest.mark.fault(13)
@each_shape
async def test_a_trickle_is_given_up_and_taken_up_again(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    stored = Stored(shape.data)
    node = server.put("a.bin", shape.data, stored.but(piece=1, pause=0.05), stored)
    async with client(server, part_size=shape.part_size, stall_seconds=0.2) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == shape.data
    assert len(server.seen()) == shape.parts + 1


@each_transport
@pytest.mark.fault(15)
async def test_a_slow_connection_that_moves_enough_is_no_fault(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", content(20), Answer(body=content(20), piece=1, pause=0.02))
    async with client(server, stall_seconds=0.1, stall_bytes=2) as api:
        await remote(api, node).fetch(tmp_path)
    assert len(server.seen()) == 1


@each_transport
@pytest.mark.fault(14)
@each_shape
async def test_an_answer_that_does_not_begin_is_asked_for_on_a_new_connection(
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
async def test_a_refusal_that_trickles_is_given_up_like_a_body_that_does(
    server: ScriptedServer, tmp_path: Path
) -> None:
    endless = refusal(503, "SlowDown").but(piece=1, pause=0.05, endless=True, framing="chunked")
    node = server.put("a.bin", b"data", endless, Stored(b"data"))
    async with client(server, stall_seconds=0.2) as api, asyncio.timeout(5):
        await remote(api, node).fetch(tmp_path)
    assert len(server.seen()) == 2


@each_transport
@pytest.mark.fault(5)
@each_shape
@pytest.mark.parametrize("framing", ["chunked", "none"])
async def test_a_body_longer_than_the_file_is_cut_off_and_the_disk_does_not_fill(
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
async def test_a_flipped_bit_is_noticed_and_the_whole_file_fetched_once_more(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
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
async def test_wrong_bytes_twice_are_an_error_that_tells_both_digests(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
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
async def test_wrong_bytes_go_unnoticed_only_when_verification_is_switched_off(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
    wrong = flipped(shape.data, 0)
    node = server.put("a.bin", shape.data, Stored(wrong))
    async with client(server, part_size=shape.part_size, verify=False) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == wrong


@each_transport
@pytest.mark.fault(2, 4, 24)
@each_shape
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
async def test_a_complete_answer_that_is_shorter_than_listed_is_listed_again_and_never_published(
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
async def test_a_listing_that_was_out_of_date_is_renewed(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
    new = content(shape.size + 10, seed=1)
    stale = server.put("a.bin", shape.data)
    server.put("a.bin", new)
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, stale).fetch(tmp_path)
    assert path.read_bytes() == new
    assert len(server.seen("/graphql")) == 1


# Ranges that are not served as asked


@each_transport
@pytest.mark.fault(19)
@each_shape
async def test_a_store_that_ignores_ranges_gives_the_file_in_one_piece_and_that_is_remembered(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
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
async def test_a_cut_body_of_a_store_that_ignores_ranges_is_begun_again(server: ScriptedServer, tmp_path: Path) -> None:
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
async def test_a_partial_answer_that_does_not_say_properly_what_it_is_gives_way_to_the_whole(
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
async def test_several_ranges_in_one_answer_give_way_to_the_whole(server: ScriptedServer, tmp_path: Path) -> None:
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
async def test_a_partial_answer_whose_length_contradicts_its_place_gives_way_to_the_whole(
    server: ScriptedServer, tmp_path: Path, longer: int
) -> None:
    stored = Stored(content(LARGE))

    def contradictory(seen: Seen) -> Answer:
        answer = stored(seen)
        return answer if seen.range is None else answer.but(body=(answer.body + bytes(10))[: len(answer.body) + longer])

    node = server.put("a.bin", content(LARGE), contradictory)
    async with client(server, part_size=MIB) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == content(LARGE)


@each_transport
async def test_a_store_that_gives_less_than_a_part_at_a_time_is_asked_on(
    server: ScriptedServer, tmp_path: Path
) -> None:
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
async def test_a_compressed_body_that_is_corrupt_is_an_error_and_never_the_file(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
    body = gzip.compress(shape.data, 1)
    corrupt = Answer(headers={"Content-Encoding": "gzip"}, body=body[:100] + bytes(20) + body[120:])
    node = server.put("a.bin", shape.data, corrupt)
    async with client(server, part_size=shape.part_size) as api:
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert list(tmp_path.iterdir()) == []


# The object is replaced meanwhile


def changing(
    server: ScriptedServer, old: Stored, new: Stored, *, listed: bool = True, heeds_if_match: bool = True
) -> Program:
    """Serve the old object once, and the new one from then on; the listing shows it if ``listed``."""

    def answer(seen: Seen) -> Answer:
        if not heeds_if_match:
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
    "answered in spite of If-Match": ('"v1"', '"v2"', False),
    "unrecognisable, but for the md5": (None, None, False),
    "known by weak tags only": ('W/"1"', 'W/"2"', False),
}


@each_transport
@pytest.mark.fault(28, 29, 30)
@each_shape
@pytest.mark.parametrize(("before", "after", "heeds_if_match"), CHANGES.values(), ids=CHANGES.keys())
async def test_bytes_of_a_replaced_object_are_never_mixed(
    server: ScriptedServer, tmp_path: Path, shape: Shape, before: str | None, after: str | None, heeds_if_match: bool
) -> None:
    old, new = Stored(shape.data, before), Stored(content(shape.size, seed=1), after)
    node = dict(server.put("a.bin", old.data, changing(server, old, new, heeds_if_match=heeds_if_match)))
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == new.data
    assert len(server.seen("/graphql")) == 1


@each_transport
@pytest.mark.fault(28, 29)
@each_shape
@pytest.mark.parametrize("heeds_if_match", [False, True])
async def test_where_no_md5_is_known_the_tags_alone_keep_two_objects_apart(
    server: ScriptedServer, tmp_path: Path, shape: Shape, heeds_if_match: bool
) -> None:
    old, new = Stored(shape.data, '"v1"'), Stored(content(shape.size, seed=1), '"v2"')
    program = changing(server, old, new, listed=False, heeds_if_match=heeds_if_match)
    node = server.put("a.bin", old.data, program, md5=None)
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == new.data


@each_transport
@each_shape
async def test_an_object_that_was_stored_again_with_the_same_bytes_is_fetched(
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
async def test_an_object_that_never_holds_still_is_an_error_after_two_restarts(
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
async def test_the_text_of_a_refusal_is_never_in_the_file(server: ScriptedServer, tmp_path: Path, shape: Shape) -> None:
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
async def test_a_lasting_refusal_is_an_error_with_the_stores_own_words_and_no_file(
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
async def test_a_refusal_that_will_not_change_is_not_tried_again(
    server: ScriptedServer, tmp_path: Path, status: int
) -> None:
    node = server.put("a.bin", b"data", refusal(status, "SomeReason"))
    async with client(server) as api:
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert len(server.requests) == 1


@each_transport
@each_shape
async def test_a_range_that_the_store_does_not_have_is_listed_again_and_then_told_without_waiting(
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
async def test_a_passing_refusal_is_tried_again_as_often_as_the_options_say(
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
async def test_a_lasting_fault_ends_with_the_time_budget(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", b"data", refusal(503, "SlowDown"))
    async with client(server, attempts=1000, time_budget=0.5) as api, asyncio.timeout(3):
        error = await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert any("Gave up after" in note for note in error.__notes__)
    assert 2 <= len(server.requests) < 15


@each_transport
@pytest.mark.fault(48)
@pytest.mark.parametrize(("verify", "attempts"), [(False, 3), (True, 7)], ids=["side by side", "one after the other"])
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
    "a date that has passed": ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0, 0.2),
    "a date of the past, in C's form": ("Sun Nov  6 08:49:37 1994", 0.0, 0.2),
    "a date of the past, in the oldest form": ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0, 0.2),
    "a negative number": ("-5", 0.0, 0.2),
    "a digit that is none": ("\xb2", 0.0, 0.2),
    "words": ("soon", 0.0, 0.2),
    "nothing": ("", 0.0, 0.2),
}


@each_transport
@pytest.mark.fault(47)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("value", "least", "most"), WAITS.values(), ids=WAITS.keys())
async def test_the_store_is_given_the_time_it_asks_for_in_any_of_http_s_forms(
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
async def test_a_wait_beyond_the_time_budget_is_not_begun(
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
    """Serve to the holders of the URL that the listing gives, which is a new one each time it is asked."""
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
async def test_an_expired_url_is_renewed_once_for_all_parts(
    server: ScriptedServer, tmp_path: Path, shape: Shape, expired: Answer
) -> None:
    node = dict(server.put("a.bin", shape.data, expiring(server, Stored(shape.data), expired)))
    async with client(server, part_size=shape.part_size) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == shape.data
    assert len(server.seen("/graphql")) == 1


@each_transport
@pytest.mark.fault(41)
@each_shape
async def test_after_a_renewal_the_rest_is_fetched_of_the_same_object(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
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
async def test_a_real_refusal_is_told_after_a_bounded_number_of_renewals(
    server: ScriptedServer, tmp_path: Path, shape: Shape
) -> None:
    node = server.put("a.bin", shape.data, refusal(403, "AccessDenied", "Access Denied"))
    async with client(server, part_size=shape.part_size) as api:
        error = await error_of(PermissionDeniedError, remote(api, node).fetch(tmp_path))
    assert isinstance(error, PermissionError)
    assert len(server.seen("/graphql")) <= 2
    assert len(server.seen()) <= 3 * shape.parts


@each_transport
@pytest.mark.fault(44)
async def test_a_key_that_the_api_does_not_take_for_a_file_is_one_request(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.on("/files/a.bin", Answer(status=401, body=b'{"error": "user is not logged in"}'))
    node = server.put("a.bin", b"data", url=f"{server.base_url}/files/a.bin", directUrl=None)
    async with client(server) as api:
        error = await error_of(AuthenticationError, remote(api, node).fetch(tmp_path))
    assert "api_key" in str(error)
    assert len(server.requests) == 1


@each_transport
@pytest.mark.fault(46)
async def test_a_file_that_was_deleted_meanwhile_is_not_found(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", b"data", refusal(404, "NoSuchKey"))
    server.files.clear()
    async with client(server) as api:
        error = await error_of(RemoteFileNotFoundError, remote(api, node).fetch(tmp_path))
    assert (error.name, error.run) == ("a.bin", RUN)
    assert len(server.seen()) == 1


@each_transport
@pytest.mark.fault(46)
async def test_a_file_that_is_listed_still_is_asked_for_once_more_where_the_store_did_not_find_it(
    server: ScriptedServer, tmp_path: Path
) -> None:
    node = server.put("a.bin", b"data", refusal(404, "NoSuchKey"), Stored(b"data"))
    async with client(server) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == b"data"


@each_transport
async def test_a_renewal_that_the_api_refuses_is_told_as_what_it_is(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", b"data", EXPIRED["S3"])
    server.on("/graphql", graphql_answer(None, status=401))
    async with client(server) as api:
        await error_of(AuthenticationError, remote(api, node).fetch(tmp_path))


async def test_the_client_goes_on_working_after_failures_of_all_kinds(server: ScriptedServer, tmp_path: Path) -> None:
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
