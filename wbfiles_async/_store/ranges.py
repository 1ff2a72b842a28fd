"""HTTP's form of ranges: the only module with inclusive ranges. Performs no I/O."""

from __future__ import annotations

import re

import attrs

__all__ = ["ContentRange", "parse_content_range", "parse_unsatisfied_range", "range_header"]

# Offsets are signed 64-bit numbers on every system; a larger one is an attack or a bug.
_TOO_LARGE = 2**63

# [0-9], since \d also matches digits of other scripts. Leading zeros are harmless.
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,19})", re.IGNORECASE)


@attrs.frozen
class ContentRange:
    """The bytes of a response: ``[start, stop)`` of ``total``; ``None`` if not stated."""

    start: int
    stop: int
    total: int | None


def range_header(start: int, stop: int | None) -> str:
    """Return the value of ``Range`` for the bytes ``[start, stop)``, or from ``start`` to the end.

    Raises:
        ValueError: The range is empty, which HTTP cannot express.

    Source:
        RFC 9110 section 14.1.2: the last byte is included.
    """
    if start < 0 or (stop is not None and stop <= start):
        raise ValueError(f"no bytes in [{start}, {stop})")
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def parse_content_range(value: str | None) -> ContentRange | None:
    """Parse the bytes of a response with status 206; ``None`` if the header is invalid.

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
    """Return the file's length in bytes from the ``Content-Range: bytes */N`` of a response of status 416."""
    match = _UNSATISFIED.fullmatch(value) if value else None
    if match is None:
        return None
    total = int(match[1])
    return total if total < _TOO_LARGE else None
