"""Write numbers for people: sizes, counts, times. Performs no I/O."""

from __future__ import annotations

__all__ = ["counted", "seconds_of", "size_of"]

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def size_of(count: float) -> str:
    """Return a number of bytes with its unit, as ``64.1 MiB``."""
    if count < 1024:
        return f"{count:.0f} B"
    count, power = count / 1024, 0
    while count >= 999.95 and power < len(_UNITS) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.1f} {_UNITS[power]}"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, as ``1 file`` or ``5,000 files``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def seconds_of(seconds: float) -> str:
    """Return a span of time, as ``0.9 s`` or ``2 min 05 s``."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {int(seconds % 60):02} s"
