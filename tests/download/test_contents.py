"""Reading a file without touching the disk: `read_bytes`, `read_text` and `stream`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_server import (
    Answer,
    ScriptedServer,
    Stored,
    client,
    error_of,
    refusal,
    remote,
)
from scripted_server import server as server
from scripted_server import waits as waits
from transports import ours_and_injected

from wbfiles_async import (
    AsyncFile,
    ConfigurationError,
    IntegrityError,
    ObjectChangedError,
    RemoteFileNotFoundError,
    TransferError,
    UnsupportedReferenceError,
    WBFilesError,
)

pytestmark = [pytest.mark.usefixtures("waits"), ours_and_injected]

DATA = bytes(range(256)) * 40


async def gather(file: AsyncFile, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in file.stream(start, stop)])


async def test_read_bytes_and_read_text_return_the_whole_file(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    node = server.put("a.txt", "naïve\r\n".encode())
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == "naïve\r\n".encode()
        assert await remote(api, node).read_text() == "naïve\r\n"
        assert await remote(api, node).read_text("latin-1") == "naïve\r\n".encode().decode("latin-1")
        assert await remote(api, node).read_text("ascii", errors="replace") == "na��ve\r\n"
        with pytest.raises(UnicodeDecodeError):
            await remote(api, node).read_text("ascii")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(32)
async def test_empty_file_reads_as_nothing(server: ScriptedServer) -> None:
    file_node = server.put("empty", b"")
    async with client(server) as api:
        file = remote(api, file_node)
        assert await file.read_bytes() == b""
        assert await gather(file) == b""
        assert await gather(file, 0, 10) == b""
        assert await gather(file, 5) == b""
    assert {seen.range for seen in server.seen()} == {None}


@pytest.mark.parametrize("size", [len(DATA), None], ids=["size known", "size unknown"])
@pytest.mark.parametrize("ranges", [True, False], ids=["ranges served", "ranges ignored"])
async def test_stream_yields_exactly_the_requested_bytes(
    server: ScriptedServer, size: int | None, ranges: bool
) -> None:
    node = server.put("a", DATA, Stored(DATA, ranges=ranges), sizeBytes=size)

    async def check(start: int, stop: int | None) -> None:
        async with client(server) as api:
            assert await gather(remote(api, node), start, stop) == DATA[start:stop]

    for start, stop in [(0, None), (0, len(DATA)), (1, None), (0, 1), (7, 4000), (len(DATA) - 1, None), (3, 3), (0, 0)]:
        await check(start, stop)


async def test_stream_stops_at_the_end_of_the_file(server: ScriptedServer) -> None:
    node = server.put("a", DATA)
    async with client(server) as api:
        assert await gather(remote(api, node), 5, 10**12) == DATA[5:]
        assert await gather(remote(api, node), len(DATA), None) == b""
        assert await gather(remote(api, node), len(DATA) + 5, None) == b""
    assert len(server.seen()) == 1


@pytest.mark.fault(6)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, len(DATA) + 5),
    length=st.none() | st.integers(0, len(DATA)),
    cuts=st.lists(st.integers(0, len(DATA)), max_size=2),
)
def test_every_byte_arrives_once_and_in_order_despite_failures(start: int, length: int | None, cuts: list[int]) -> None:
    stop = None if length is None else start + length

    async def check() -> None:
        async with ScriptedServer() as server:
            stored = Stored(DATA)
            node = server.put("a", DATA, *(stored.but(cut=cut, end="reset") for cut in cuts), stored)
            async with client(server, attempts=5) as api:
                assert await gather(remote(api, node), start, stop) == DATA[start:stop]

    asyncio.run(check())


@pytest.mark.parametrize(("start", "stop"), [(-1, None), (5, 4), (0, -1)])
async def test_invalid_range_is_refused_before_any_request(
    server: ScriptedServer, start: int, stop: int | None
) -> None:
    node = server.put("a", DATA)
    async with client(server) as api:
        await error_of(ConfigurationError, gather(remote(api, node), start, stop))
    assert server.requests == []


async def test_only_the_requested_range_is_transferred(server: ScriptedServer) -> None:
    node = server.put("a", DATA)
    async with client(server) as api:
        await gather(remote(api, node), 100, 200)
    assert [seen.range for seen in server.seen()] == [(100, 200)]


@pytest.mark.fault(6)
async def test_broken_stream_resumes_with_the_same_object(server: ScriptedServer) -> None:
    stored = Stored(DATA)
    node = server.put("a", DATA, stored.but(cut=500, end="reset"), stored)
    async with client(server) as api:
        assert await gather(remote(api, node)) == DATA
    first, resumed = server.seen()
    assert first.range is None
    assert resumed.range
    assert resumed.headers["if-match"] == '"v1"'


@pytest.mark.fault(29)
async def test_stream_of_a_replaced_object_raises(server: ScriptedServer) -> None:
    node = server.put("a", DATA, Stored(DATA).but(cut=500, end="close"), Stored(DATA[::-1], '"v2"'))
    got = b""
    async with client(server) as api:

        async def read() -> None:
            nonlocal got
            async for piece in remote(api, node).stream():
                got += piece

        await error_of(ObjectChangedError, read())
    assert DATA.startswith(got)


@pytest.mark.fault(9)
async def test_complete_stream_of_wrong_bytes_raises(server: ScriptedServer) -> None:
    node = server.put("a", DATA, Stored(DATA[::-1]))
    async with client(server) as api:
        error = await error_of(IntegrityError, gather(remote(api, node)))
    assert error.expected != error.actual


@pytest.mark.fault(9, 10)
async def test_wrong_bytes_in_memory_are_requested_once_more(server: ScriptedServer) -> None:
    node = server.put("a", DATA, Stored(DATA[::-1]), Stored(DATA))
    bad = server.put("b", DATA, Stored(DATA[::-1]))
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == DATA
        await error_of(IntegrityError, remote(api, bad).read_bytes())
    assert len(server.seen("/store/b")) == 2


@pytest.mark.fault(5)
async def test_bytes_beyond_the_requested_range_are_never_yielded(server: ScriptedServer) -> None:
    node = server.put("a", DATA, Stored(DATA).but(endless=True, framing="chunked"))
    got = b""
    async with client(server) as api:

        async def read() -> None:
            nonlocal got
            async for piece in remote(api, node).stream():
                got += piece

        await error_of(IntegrityError, read())
    assert len(got) <= len(DATA)


async def test_failures_raise_the_documented_errors(server: ScriptedServer) -> None:
    gone = server.put("gone", DATA, refusal(404, "NoSuchKey"))
    failing = server.put("failing", DATA, refusal(500, "InternalError"))
    reference = server.put("reference", DATA, directUrl="s3://bucket/key", url="s3://bucket/key")
    del server.files["gone"]
    cases: list[tuple[dict[str, object], type[WBFilesError]]] = [
        (gone, RemoteFileNotFoundError),
        (failing, TransferError),
        (reference, UnsupportedReferenceError),
    ]
    async with client(server) as api:
        for node, kind in cases:
            await error_of(kind, gather(remote(api, node)))
            await error_of(kind, remote(api, node).read_bytes())


@pytest.mark.fault(94)
async def test_abandoned_stream_releases_its_slot(server: ScriptedServer) -> None:
    node = server.put("a", DATA, Stored(DATA).but(end="stall", cut=5000))
    other = server.put("b", DATA)
    async with client(server, connections=1) as api:
        async with aclosing(remote(api, node).stream()) as pieces:
            async for _ in pieces:
                break
        async with asyncio.timeout(5):
            assert await remote(api, other).read_bytes() == DATA


async def test_bytes_are_yielded_as_they_arrive(server: ScriptedServer) -> None:
    gate = asyncio.Event()
    node = server.put("a", DATA, Stored(DATA).but(gate=gate, gate_at=1000))
    got = b""
    async with client(server) as api, asyncio.timeout(5), aclosing(remote(api, node).stream()) as pieces:
        async for piece in pieces:
            got += piece
            if len(got) == 1000:
                gate.set()
    assert got == DATA


async def test_slow_consumer_is_not_a_stall(server: ScriptedServer) -> None:
    node = server.put("a", DATA, Answer(body=DATA, piece=100, pause=0.001))
    patient = client(server, stall_seconds=0.2, stall_bytes=5000)
    async with patient as api, aclosing(remote(api, node).stream()) as pieces:
        first = await anext(pieces)
        await asyncio.sleep(0.3)  # the time is what is tested
        rest = b"".join([piece async for piece in pieces])
    assert first + rest == DATA
    assert len(server.seen()) == 1
