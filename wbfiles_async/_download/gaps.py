"""Divides a file into parts for its connections. Performs no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import attrs

from wbfiles_async._ranges import Range

__all__ = ["SMALLEST_PART", "Gaps", "gaps_in"]

SMALLEST_PART: Final = 2 << 20
"""Minimum bytes of a part, below which the request's overhead dominates."""

LITTLE: Final = 4
"""A part may be longer than usual if at least this many of them are left, since all readers share the end of a file."""


@attrs.define
class Gaps:
    """The bytes of a file that no connection has requested yet.

    Attributes:
        left: Their number.
        small_first: Whether the first parts are small, for the md5, which follows the contiguous prefix.
    """

    _gaps: deque[Range]
    small_first: bool = False
    _taken: int = attrs.field(default=0, init=False)
    left: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = sum(gap.length for gap in self._gaps)

    def take_share(self, readers: int) -> Range | None:
        """Return the next part, long enough to give one to each reader."""
        return self._take(max(SMALLEST_PART, -(-self.left // readers)))

    def take(self, usual: int, readers: int, longest: int = 0, shortest: int = SMALLEST_PART) -> Range | None:
        """Return the next part to request.

        Towards the end parts become smaller, so that all readers end at about the same time. If the first parts are
        small, each round has about as many bytes as all before it, and at most half of those left, so that the
        contiguous prefix is never far behind.

        Args:
            usual: Bytes of a part.
            readers: The number of concurrent readers.
            longest: Maximum bytes of a part while that is a small share of those left.
            shortest: Minimum bytes of a part.

        Returns:
            The part; ``None`` if nothing is left.
        """
        measure = min(self.left // 2, self._taken) if self.small_first else self.left
        share = measure // readers // SMALLEST_PART * SMALLEST_PART
        little = self.left // LITTLE // SMALLEST_PART * SMALLEST_PART
        return self._take(min(max(usual, min(longest, little)), max(share, shortest)))

    def put_back(self, gap: Range) -> None:
        """Put back the end of a part, for other readers."""
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
    """Return the ranges of a file of ``size`` bytes that are not in ``done``, which is ordered and disjoint."""
    gaps: deque[Range] = deque()
    start = 0
    for part in done:
        if start < part.start:
            gaps.append(Range(start, part.start))
        start = part.stop
    if start < size:
        gaps.append(Range(start, size))
    return Gaps(gaps, small_first)
