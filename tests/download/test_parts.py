"""A large file over several connections: each byte once, and no idle connection."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import RUN, Answer, ScriptedServer, Seen, Stored, client, remote
from scripted_server import server as server
from transports import each_transport

from wbfiles_async import FileResult
from wbfiles_async._clock import Clock
from wbfiles_async._download.gaps import gaps_in
from wbfiles_async._download.parallelism import ParallelismController
from wbfiles_async._download.parts import LONG_BYTES, PartsDownload
from wbfiles_async._ranges import Range
from wbfiles_async._store.concurrency import FIRST
from wbfiles_async._store.origin_limits import OriginLimits
from wbfiles_async._store.sink import CutError, ExcessError, RangeSink

MIB = 1 << 20
DATA = random.Random(7).randbytes(LONG_BYTES + 8 * MIB)


class Taken:
    """Records the bytes given to sinks."""

    def __init__(self) -> None:
        self.pieces: list[Range] = []
        self.bytes = 0

    def sink(self, start: int, stop: int | None) -> RangeSink:
        def take(offset: int, piece: bytes | memoryview) -> None:
            self.pieces.append(Range(offset, offset + len(piece)))
            self.bytes += len(piece)

        return RangeSink(start, stop, take)


@attrs.define
class Origin:
    """An origin with constant limits."""

    answer_seconds: float
    allowed: int
    demanded: list[int] = attrs.field(factory=list, init=False)

    def record_demand(self, requests: int) -> None:
        """Record the number."""
        self.demanded.append(requests)


def test_shortened_sink_takes_its_rest_and_reports_the_surplus() -> None:
    taken = Taken()
    sink = taken.sink(10, 100)
    sink.write(bytes(20))
    assert sink.left == 70
    assert sink.cut(30) == Range(60, 100)
    sink.write(bytes(20))
    with pytest.raises(CutError):
        sink.write(bytes(20))
    assert taken.pieces == [Range(10, 30), Range(30, 50), Range(50, 60)]
    assert sink.is_full
    assert sink.left == 0


def test_sink_is_not_shortened_to_its_own_length() -> None:
    sink = Taken().sink(0, 100)
    assert sink.cut(100) is None
    assert sink.cut(99) == Range(99, 100)
    assert Taken().sink(0, None).cut(1) is None


def test_surplus_in_an_unshortened_sink_is_an_error() -> None:
    taken = Taken()
    sink = taken.sink(0, 10)
    with pytest.raises(ExcessError):
        sink.write(bytes(11))
    assert not taken.pieces


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 200 * MIB),
    st.integers(1, 12),
    st.booleans(),
    st.lists(st.integers(MIB, 40 * MIB), min_size=1, max_size=20),
    st.sampled_from([0.0, 0.05]),
    st.integers(1, 64),
)
async def test_each_byte_is_requested_once(
    size: int, readers: int, in_order: bool, paces: list[int], answer: float, admitted: int
) -> None:
    taken, origin = Taken(), Origin(answer, admitted)
    begun = at_once = 0

    async def fetch(sink: RangeSink) -> None:
        nonlocal begun, at_once
        begun += 1
        at_once += 1
        assert at_once <= admitted
        pace = paces[begun % len(paces)]
        try:
            while not sink.is_full:
                sink.write(memoryview(_zeros)[: min(pace, sink.left)])
                await anyio.lowlevel.checkpoint()
        except CutError:
            pass
        at_once -= 1

    parts = PartsDownload(
        gaps=gaps_in(size, small_first=in_order),
        part_size=8 * MIB,
        controller=ParallelismController(readers, most=64),
        sink_of=lambda part: taken.sink(part.start, part.stop),
        fetch=fetch,
        arrived=lambda: taken.bytes,
        origin=lambda: origin,
        may_cut=lambda: True,
        clock=Clock(),
    )
    await parts.run()
    position = 0
    for piece in sorted(taken.pieces, key=lambda piece: piece.start):
        assert piece.start == position
        position = piece.stop
    assert position == size
    assert origin.demanded == sorted(origin.demanded)


_zeros = bytes(40 * MIB)


async def test_existing_file_is_not_waited_for() -> None:
    taken = Taken()
    parts = PartsDownload(
        gaps=gaps_in(10, [Range(0, 10)]),
        part_size=8 * MIB,
        controller=ParallelismController(1, most=1),
        sink_of=lambda part: taken.sink(part.start, part.stop),
        fetch=lambda sink: asyncio.sleep(0),
        arrived=lambda: 10,
        origin=lambda: Origin(0.0, 1),
        may_cut=lambda: True,
        clock=Clock(),
    )
    async with asyncio.timeout(5):
        await parts.run()
    assert not taken.pieces


@each_transport
async def test_rest_of_a_slow_range_moves_to_other_connections(server: ScriptedServer, tmp_path: Path) -> None:
    gate, stored, others = asyncio.Event(), Stored(DATA), 0

    def answer(seen: Seen) -> Answer:
        nonlocal others
        if seen.range is None or seen.range[0] == 0:
            return stored(seen).but(gate=gate, gate_at=MIB)
        others += 1
        return stored(seen)

    node = server.put("large.bin", DATA, answer)
    async with client(server) as api:
        work = asyncio.create_task(remote(api, node).fetch(tmp_path))
        async with asyncio.timeout(20):
            while not others:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            gate.set()
            path = await work
    assert path.read_bytes() == DATA
    first = server.seen()[0]
    assert first.range == (0, len(DATA))


@pytest.fixture
def demands(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The wanted numbers of connections, after each check of a file's speed."""
    found = list[int]()

    def record(limits: OriginLimits, requests: int) -> None:
        found.append(requests)

    monkeypatch.setattr(OriginLimits, "record_demand", record)
    return found


async def test_slow_file_raises_the_initial_request_limit(
    server: ScriptedServer, tmp_path: Path, demands: list[int]
) -> None:
    stored = Stored(DATA)
    node = server.put("large.bin", DATA, lambda seen: stored(seen).but(pause=0.01))
    async with client(server, verify=False) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == DATA
    assert demands[-1] > FIRST


@each_transport
async def test_store_without_ranges_sends_the_whole(server: ScriptedServer, tmp_path: Path, demands: list[int]) -> None:
    gate = asyncio.Event()
    node = server.put("large.bin", DATA, Stored(DATA, ranges=False).but(gate=gate, gate_at=MIB))
    async with client(server) as api:
        work = asyncio.create_task(remote(api, node).fetch(tmp_path))
        while len(demands) < 5:  # noqa: ASYNC110  # checks of its speed
            await asyncio.sleep(0.001)
        gate.set()
        path = await work
    assert path.read_bytes() == DATA
    assert len(server.seen()) == 1


@pytest.mark.fault(94)
async def test_interrupted_long_range_keeps_its_bytes(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("large.bin", DATA, Stored(DATA).but(gate=asyncio.Event(), gate_at=20 * MIB))
    arrived = 0

    class Watch:
        def started(self, name: str, total: int | None) -> None: ...
        def finished(self, name: str) -> None: ...
        def failed(self, name: str, error: Exception) -> None: ...
        def advanced(self, name: str, count: int) -> None:
            nonlocal arrived
            arrived += count

    async with client(server, connections=1, resume=True) as api:
        work = asyncio.create_task(remote(api, node).fetch(tmp_path, progress=Watch()))
        async with asyncio.timeout(20):
            while arrived < 18 * MIB:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        server.on("/store/large.bin", Stored(DATA))
        results: list[FileResult] = []
        await api.run(RUN).download(tmp_path, on_result=results.append)
    [result] = results
    assert result.resumed >= 16 * MIB
    assert result.verified
    assert (tmp_path / "large.bin").read_bytes() == DATA
