"""Cut a file into ranges, and speak of them in HTTP. Performs no I/O.

Ranges are ``[start, stop)`` everywhere; HTTP's inclusive form exists in `range_header` and
`parse_content_range` only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

__all__ = ["ContentRange", "Range", "parse_content_range", "parse_unsatisfied_range", "range_header", "split"]

# Offsets are signed 64-bit numbers on every system; a larger one is an attack or a bug.
_TOO_LARGE = 2**63

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


def split(size: int, part_size: int) -> Iterator[Range]:
    """Return, lazily, the ranges that together are ``[0, size)``, each of ``part_size`` bytes but the last.

    Raises:
        ValueError: ``size`` is negative or ``part_size`` not positive.
    """
    if size < 0 or part_size < 1:
        raise ValueError(f"cannot split {size} bytes into parts of {part_size}")
    return (Range(start, min(start + part_size, size)) for start in range(0, size, part_size))
