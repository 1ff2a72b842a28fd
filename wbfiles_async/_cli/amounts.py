"""Parse amounts that users type: bytes with a unit, and ranges of bytes. Performs no I/O."""

from __future__ import annotations

import re

_BYTES = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?)(?:(?P<unit>[kmgt])i?)?b?", re.IGNORECASE)
_RANGE = re.compile(r"(?P<start>[0-9]{0,18}):(?P<stop>[0-9]{0,18})")


def parse_bytes(text: str) -> int:
    """Parse a number of bytes, at least 1, such as ``1500``, ``500k`` or ``1.5M``.

    Units are powers of 1024, as in the options of curl and wget.

    Raises:
        ValueError: It is invalid.
    """
    match = _BYTES.fullmatch(text.strip())
    power = " kmgt".index((match["unit"] or " ").lower()) if match else 0
    count = int(float(match["number"]) * 1024**power) if match else 0
    if count < 1:
        raise ValueError(f"{text!r} is not a number of bytes such as 1500, 500k, 2M or 1.5G.")
    return count


def parse_range(text: str) -> tuple[int, int | None]:
    """Parse ``START:STOP`` as the range ``[start, stop)``; a missing number means the file's start or end.

    Raises:
        ValueError: It is invalid.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a range of bytes such as 0:100, 100: or :100.")
    start, stop = int(match["start"] or 0), int(match["stop"]) if match["stop"] else None
    if stop is not None and stop < start:
        raise ValueError(f"{text!r} ends before it starts.")
    return start, stop
