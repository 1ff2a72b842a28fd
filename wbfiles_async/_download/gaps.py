"""Cuts a file into parts for the connections that fetch it. Performs no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs

from wbfiles_async._ranges import Range

__all__ = ["Gaps", "gaps_in"]

_SMALLEST_PART = 2 << 20
"""Bytes below which a part costs too much beside what it brings."""

_LITTLE = 4
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

    def take(self, part_size: int, readers: int, factor: int = 1) -> Range | None:
        """Return the next part, for the caller to fetch.

        Towards the end parts become smaller, so that all readers end at about the same time. If they begin small, each
        round brings about as much as all before it, and at most half of what is left, so that the contiguous beginning
        is never far behind.

        Args:
            part_size: Bytes of a part, at most.
            readers: How many fetch parts concurrently.
            factor: How many times as long a part may be while that is little of what is left.

        Returns:
            The part; ``None`` if nothing is left.
        """
        if not self._gaps:
            return None
        measure = min(self.left // 2, self._taken) if self.small_first else self.left
        share = measure // readers // _SMALLEST_PART * _SMALLEST_PART
        little = self.left // _LITTLE // _SMALLEST_PART * _SMALLEST_PART
        longest = max(part_size, min(factor * part_size, little))
        length = min(longest, max(share, _SMALLEST_PART))
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
