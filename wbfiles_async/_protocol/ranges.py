"""Cut a file into ranges, and speak of them in HTTP. Performs no I/O.

Ranges are ``[start, stop)`` everywhere; HTTP's inclusive form exists in `range_header` and
`parse_content_range` only.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

import attrs

__all__ = ["ContentRange", "Gaps", "Range", "gaps_in", "parse_content_range", "parse_unsatisfied_range", "range_header"]

# Offsets are signed 64-bit numbers on every system; a larger one is an attack or a bug.
_TOO_LARGE = 2**63

_SMALLEST_PART = 2 << 20
"""Bytes below which the request would weigh too much beside what it brings."""

_LITTLE = 4
"""A part may be longer than usual where this many of them are left: the end of a file is for all its readers."""

# [0-9], since \d also takes the digits of other scripts. Leading zeros do no harm.
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,19})", re.IGNORECASE)


@attrs.frozen
class Range:
    """Bytes ``[start, stop)`` of a file."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Length in bytes."""
        return self.stop - self.start


@attrs.frozen
class ContentRange:
    """Which bytes an answer holds: ``[start, stop)`` of ``total``, ``None`` where that was not told."""

    start: int
    stop: int
    total: int | None


def range_header(start: int, stop: int | None) -> str:
    """Return the value of ``Range`` that asks for the bytes ``[start, stop)``, or from ``start`` to the end.

    Raises:
        ValueError: The range is empty; HTTP cannot ask for that.

    Source:
        RFC 9110 section 14.1.2: the last byte is included.
    """
    if start < 0 or (stop is not None and stop <= start):
        raise ValueError(f"no bytes in [{start}, {stop})")
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def parse_content_range(value: str | None) -> ContentRange | None:
    """Return which bytes an answer of status 206 holds, ``None`` where the header does not say it properly.

    Source:
        RFC 9110 section 14.4.
    """
    match = _CONTENT_RANGE.fullmatch(value) if value else None
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if first > last or last >= _TOO_LARGE - 1 or (total is not None and not last < total < _TOO_LARGE):
        return None
    return ContentRange(first, last + 1, total)


def parse_unsatisfied_range(value: str | None) -> int | None:
    """Return the file's length in bytes from the ``Content-Range: bytes */N`` of an answer of status 416."""
    match = _UNSATISFIED.fullmatch(value) if value else None
    if match is None:
        return None
    total = int(match[1])
    return total if total < _TOO_LARGE else None


@attrs.define
class Gaps:
    """What of a file nobody has taken on yet.

    Attributes:
        left: Bytes of it.
        small_first: Whether parts begin small, for somebody who follows the front of what has no gap.
    """

    _gaps: deque[Range]
    small_first: bool = False
    _taken: int = attrs.field(default=0, init=False)
    left: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = sum(gap.length for gap in self._gaps)

    def take(self, part_size: int, readers: int, factor: int = 1) -> Range | None:
        """Take on the next part.

        Towards the end parts become smaller, so that all readers end at about the same time. Where they begin small,
        each round brings about as much as all before it, and at most half of what is left, so that the front is
        never far behind.

        Args:
            part_size: Bytes of a part, at most.
            readers: How many take parts side by side.
            factor: How many times as long a part may be while that is little of what is left.

        Returns:
            The part; ``None`` where nothing is left.
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
