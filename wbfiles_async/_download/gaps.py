"""Cuts a file into parts for the connections that fetch it. Performs no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import attrs

from wbfiles_async._ranges import Range

__all__ = ["SMALLEST_PART", "Gaps", "gaps_in"]

SMALLEST_PART: Final = 2 << 20
"""Bytes below which a part costs too much beside what it brings."""

LITTLE: Final = 4
"""A part may be longer than usual while this many of them are left: the end of a file is shared by all readers."""


@attrs.define
class Gaps:
    """The bytes of a file that no connection fetches yet.

    Attributes:
        left: Bytes of it.
        small_first: Whether parts begin small, for the md5 that follows the contiguous beginning.
    """

    _gaps: deque[Range]
    small_first: bool = False
    _taken: int = attrs.field(default=0, init=False)
    left: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = sum(gap.length for gap in self._gaps)

    def take_share(self, readers: int) -> Range | None:
        """Return the next part, so long that each of so many readers has one."""
        return self._take(max(SMALLEST_PART, -(-self.left // readers)))

    def take(self, usual: int, readers: int, longest: int = 0, shortest: int = SMALLEST_PART) -> Range | None:
        """Return the next part, for the caller to fetch.

        Towards the end parts become smaller, so that all readers end at about the same time. If they begin small, each
        round brings about as much as all before it, and at most half of what is left, so that the contiguous beginning
        is never far behind.

        Args:
            usual: Bytes of a part.
            readers: How many fetch parts concurrently.
            longest: Bytes that a part may have while that is little of what is left.
            shortest: Bytes that a part has at least.

        Returns:
            The part; ``None`` if nothing is left.
        """
        measure = min(self.left // 2, self._taken) if self.small_first else self.left
        share = measure // readers // SMALLEST_PART * SMALLEST_PART
        little = self.left // LITTLE // SMALLEST_PART * SMALLEST_PART
        return self._take(min(max(usual, min(longest, little)), max(share, shortest)))

    def give_back(self, gap: Range) -> None:
        """Return the end of a part that was taken, for others to fetch."""
        self._gaps.append(gap)
        self._gaps = deque(sorted(self._gaps, key=lambda gap: gap.start))
        self.left += gap.length
        self._taken -= gap.length

    def _take(self, length: int) -> Range | None:
        if not self._gaps:
            return None
        gap = self._gaps.popleft()
        part = Range(gap.start, min(gap.stop, gap.start + length))
        if part.stop < gap.stop:
            self._gaps.appendleft(Range(part.stop, gap.stop))
        self.left -= part.length
        self._taken += part.length
        return part


def gaps_in(size: int, done: Iterable[Range] = (), *, small_first: bool = False) -> Gaps:
    """Return what of a file of ``size`` bytes is not ``done``; the ranges of that are in order and do not overlap."""
    gaps: deque[Range] = deque()
    start = 0
    for part in done:
        if start < part.start:
            gaps.append(Range(start, part.start))
        start = part.stop
    if start < size:
        gaps.append(Range(start, size))
    return Gaps(gaps, small_first)
