"""A large file in parts: assigns them to connections, and lets one take over the end of another's part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
import attrs
from anyio.abc import TaskGroup

from wbfiles_async._clock import Clock
from wbfiles_async._download.gaps import SMALLEST_PART, Gaps
from wbfiles_async._download.parallelism import ParallelismController
from wbfiles_async._ranges import Range
from wbfiles_async._store.sink import RangeSink
from wbfiles_async._tasks import open_task_group

__all__ = ["LONG_BYTES", "PartsDownload"]

LONG_BYTES: Final = 32 << 20
"""Minimum bytes of a file that is first divided into one part per connection, and further only if they are slow,
since each further request has its latency."""

FEW_PARTS: Final = 4
"""A file with fewer parts is not divided like that."""

ANSWER_SECONDS: Final = 1.0
"""Seconds in which only connecting and waiting for heads is normal."""

WORTH_SECONDS: Final = 0.05
"""Minimum seconds left of a part, beyond a few latencies, for another connection to take over half of it, since
bytes in transit are lost and its connection is closed."""

ANSWERS: Final = 8
"""A part takes this many times the latency, so that a connection waits an eighth of its time."""

FEW_ANSWERS: Final = 2
"""The same for the smallest part, and for the rest of a part that another connection takes over."""


class Origin(Protocol):
    """The origin of a file."""

    @property
    def answer_seconds(self) -> float:
        """Its latency in seconds; 0 if unknown."""
        ...

    @property
    def allowed(self) -> int:
        """The number of concurrent requests that it gets."""
        ...

    def record_demand(self, requests: int) -> None:
        """Record the number of concurrent requests that the file needs."""
        ...


@attrs.define(eq=False, kw_only=True)
class PartsDownload:
    """Downloads the gaps of a file.

    Attributes:
        gaps: The missing ranges.
        part_size: Usual bytes of a part.
        controller: Decides the number of connections.
        fetch: Downloads one part, whose end may be given up meanwhile.
        sink_of: Returns the sink of a part.
        arrived: Returns the number of bytes that have arrived.
        origin: Returns the origin that serves it, as far as known.
        may_cut: Returns whether the end of a part can be requested separately.
        clock: The time.
    """

    gaps: Gaps
    part_size: int
    controller: ParallelismController
    sink_of: Callable[[Range], RangeSink]
    fetch: Callable[[RangeSink], Awaitable[None]]
    arrived: Callable[[], int]
    origin: Callable[[], Origin]
    may_cut: Callable[[], bool]
    clock: Clock
    _started: int = attrs.field(default=0, init=False)
    _at_work: int = attrs.field(default=0, init=False)
    _running: list[RangeSink] = attrs.field(factory=list, init=False)
    _rate: float = attrs.field(default=0.0, init=False)
    _ended: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    async def run(self) -> None:
        """Download them, with more connections while the current ones are slow."""
        gaps, controller, began, first = self.gaps, self.controller, self.clock.monotonic(), self.arrived()
        if not gaps.left:
            return
        async with open_task_group() as group:
            if gaps.left >= max(LONG_BYTES, FEW_PARTS * self.part_size):
                for readers in range(self._wanted, 0, -1):
                    self._start(group, gaps.take_share(readers))
            while not self._ended.is_set():
                while self._started < self._wanted and self._start(group, self._next_part()):
                    await anyio.lowlevel.checkpoint()  # many connecting in one turn would block the loop
                before, since = self.arrived(), self.clock.monotonic()
                with anyio.move_on_after(controller.look):
                    await self._ended.wait()
                now = self.clock.monotonic()
                if before > first or now > began + ANSWER_SECONDS:
                    self._rate = (self.arrived() - before) / max(now - since, 1e-6)
                    controller.adapt(self._rate, self.origin().answer_seconds)
                    self.origin().record_demand(controller.wanted)

    @property
    def _wanted(self) -> int:
        return min(self.controller.wanted, self.origin().allowed)

    def _start(self, group: TaskGroup, part: Range | None) -> bool:
        if part is None:
            return False
        self._started += 1
        self._at_work += 1
        group.start_soon(self._work, part)
        return True

    async def _work(self, first: Range) -> None:
        part: Range | None = first
        while part is not None:
            sink = self.sink_of(part)
            self._running.append(sink)
            await self.fetch(sink)
            self._running.remove(sink)
            part = self._next_part()
        self._at_work -= 1
        if not self._at_work:
            self._ended.set()

    def _next_part(self) -> Range | None:
        """Return the next part, or the end of one in progress; ``None`` if nothing is worth a request."""
        rate = self._rate / max(1, self._at_work)
        answer = int(rate * self.origin().answer_seconds)  # bytes that one connection receives while another waits
        shortest = max(SMALLEST_PART, FEW_ANSWERS * answer)
        if not self.gaps.left:
            self._cut_longest(shortest + int(rate * WORTH_SECONDS))
        longest = max(self.controller.part_factor * self.part_size, ANSWERS * answer)
        return self.gaps.take(self.part_size, self.controller.wanted, longest, shortest)

    def _cut_longest(self, worth: int) -> None:
        """Turn the end of a part in progress into a gap."""
        running = max(self._running, key=lambda sink: sink.left, default=None)
        if running is None or running.left < 2 * worth or not self.may_cut():
            return
        # The md5 follows the contiguous prefix, so little of it should remain.
        rest = running.cut(SMALLEST_PART if self.gaps.small_first else running.left // 2)
        if rest is not None:
            self.gaps.put_back(rest)
