"""The rate limit: shared by all connections of a client, and never a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import RUN, ScriptedServer, client, clients_use, remote
from scripted_server import server as server

from wbfiles_async._clock import Clock
from wbfiles_async._rate_limit import BURST_SECONDS, SLOWEST

MIB = 1 << 20
RATE = 100_000


class Passing:
    """A clock that only advances by waits for the rate limit."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits = 0
        self.longest = 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds
        self.waits += seconds > 0
        self.longest = max(self.longest, seconds)

    @property
    def passed(self) -> float:
        return self.now - 1000.0


@pytest.fixture
def clock() -> Iterator[Passing]:
    passing = Passing()
    with clients_use(Clock(monotonic=lambda: passing.now, sleep=passing.sleep)):
        yield passing


async def test_files_and_parts_share_the_rate_limit(server: ScriptedServer, clock: Passing, tmp_path: Path) -> None:
    server.put("large.bin", bytes(3 * MIB))
    for number in range(5):
        server.put(f"{number}.bin", bytes(MIB))
    async with client(server, limit_rate=RATE, part_size=MIB, connections=3) as api:
        report = await api.run(RUN).download(tmp_path)
    assert (report.downloaded, report.parts) == (6, 8)
    # Concurrent readers wait at the same time, but this clock adds up their waits.
    assert clock.passed >= 8 * MIB / RATE - BURST_SECONDS - 1e-6


async def test_rate_limit_waits_are_no_stall(server: ScriptedServer, clock: Passing) -> None:
    node = server.put("a.bin", bytes(4 * MIB))
    async with client(server, limit_rate=RATE, stall_seconds=1.0, stall_bytes=1 << 40) as api:
        assert len(await remote(api, node).read_bytes()) == 4 * MIB
    assert clock.passed == pytest.approx(4 * MIB / RATE - BURST_SECONDS)
    assert len(server.seen()) == 1


@pytest.mark.parametrize("rate", [1_000, RATE, 200 * MIB])
async def test_no_piece_is_more_than_a_burst(server: ScriptedServer, clock: Passing, rate: int) -> None:
    server.put("large.bin", bytes(4 * MIB if rate > RATE else 10 * rate))
    async with client(server, limit_rate=rate) as api:
        file = await api.run(RUN).file("large.bin")
        sizes = [len(piece) async for piece in file.stream()]
    assert sum(sizes) == file.size
    assert max(sizes) <= min(rate, SLOWEST) * BURST_SECONDS
    assert clock.longest <= BURST_SECONDS + 1e-6


async def test_client_without_a_limit_never_waits(server: ScriptedServer, clock: Passing) -> None:
    node = server.put("a.bin", bytes(4 * MIB))
    async with client(server) as api:
        await remote(api, node).read_bytes()
    assert clock.waits == 0
