"""A large file in parts: which connection fetches what, and when one takes over the end of another's part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

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
"""Bytes from which on a file is first divided into one part for each connection, and more only where they are slow:
each further request waits for its answer to begin."""

FEW_PARTS: Final = 4
"""A file of fewer parts than these is not divided so."""

ANSWER_SECONDS: Final = 1.0
"""Seconds in which nothing but connecting and waiting for heads may happen."""

WORTH_SECONDS: Final = 0.05
"""Seconds that the rest of a part must take beyond a few answers, for another connection to take over half of it: as
what was sent of it already is lost, and its connection closed."""

ANSWERS: Final = 8
"""A part takes so many times as long as its answer takes to begin: the connection then waits an eighth of its time."""

FEW_ANSWERS: Final = 2
"""The same, of the smallest part, and of the rest of a part that another connection takes over."""


@attrs.define(eq=False, kw_only=True)
class PartsDownload:
    """Fetches the gaps of a file.

    Attributes:
        gaps: What is missing.
        part_size: Bytes of a part, usually.
        controller: How many connections fetch it.
        fetch: Fetches one part, whose end may be cut off meanwhile.
        sink_of: Returns what takes the bytes of a part.
        arrived: Returns the bytes that arrived so far.
        answer_seconds: Returns the seconds until an answer of the store begins; 0 if not known.
        demand: Called with how many connections are known to bring something.
        admitted: Returns how many requests the store is sent at once.
        may_cut: Returns whether the end of a part can be requested by itself.
        clock: The time.
    """

    gaps: Gaps
    part_size: int
    controller: ParallelismController
    sink_of: Callable[[Range], RangeSink]
    fetch: Callable[[RangeSink], Awaitable[None]]
    arrived: Callable[[], int]
    answer_seconds: Callable[[], float]
    demand: Callable[[int], None]
    admitted: Callable[[], int]
    may_cut: Callable[[], bool]
    clock: Clock
    _started: int = attrs.field(default=0, init=False)
    _at_work: int = attrs.field(default=0, init=False)
    _running: list[RangeSink] = attrs.field(factory=list, init=False)
    _rate: float = attrs.field(default=0.0, init=False)
    _ended: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    async def run(self) -> None:
        """Fetch them, over more connections while those at work are slow."""
        gaps, controller, began, first = self.gaps, self.controller, self.clock.monotonic(), self.arrived()
        if not gaps.left:
            return
        async with open_task_group() as group:
            if gaps.left >= max(LONG_BYTES, FEW_PARTS * self.part_size):
                for readers in range(self._wanted, 0, -1):
                    self._start(group, gaps.take_share(readers))
            while not self._ended.is_set():
                while self._started < self._wanted and self._start(group, self._next_part()):
                    pass
                before, since = self.arrived(), self.clock.monotonic()
                with anyio.move_on_after(controller.look):
                    await self._ended.wait()
                now = self.clock.monotonic()
                if before > first or now > began + ANSWER_SECONDS:
                    self._rate = (self.arrived() - before) / max(now - since, 1e-6)
                    controller.judge(self._rate, self.answer_seconds())
                    self.demand(controller.wanted)

    @property
    def _wanted(self) -> int:
        return min(self.controller.wanted, self.admitted())

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
        """Return the next part, or the end of one that is being fetched; ``None`` if nothing is worth a request."""
        rate = self._rate / max(1, self._at_work)
        answer = int(rate * self.answer_seconds())  # bytes that a connection brings while another waits
        shortest = max(SMALLEST_PART, FEW_ANSWERS * answer)
        if not self.gaps.left:
            self._cut_longest(shortest + int(rate * WORTH_SECONDS))
        longest = max(self.controller.part_factor * self.part_size, ANSWERS * answer)
        return self.gaps.take(self.part_size, self.controller.wanted, longest, shortest)

    def _cut_longest(self, worth: int) -> None:
        """Make a gap of the end of a part that is being fetched."""
        running = max(self._running, key=lambda sink: sink.left, default=None)
        if running is None or running.left < 2 * worth or not self.may_cut():
            return
        # The md5 follows what is contiguous, so that a little is to be left of it.
        rest = running.cut(SMALLEST_PART if self.gaps.small_first else running.left // 2)
        if rest is not None:
            self.gaps.give_back(rest)
