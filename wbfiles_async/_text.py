"""Write facts for people: names fit for a terminal, sizes, numbers, times. Performs no I/O."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["clock", "counted", "local_time", "printable", "seconds_of", "share_of", "size_of"]

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


def printable(text: str) -> str:
    r"""Return the text on one line, with control characters escaped as ``\x1b``, ``\n``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def share_of(done: float, total: float) -> str:
    """Return a share of bytes, as ``12.5 of 64.1 MiB``."""
    some, all_of_it = size_of(done), size_of(total)
    number, _, unit = some.partition(" ")
    return f"{number if all_of_it.endswith(f' {unit}') else some} of {all_of_it}"


def clock(seconds: float) -> str:
    """Return a span of time as a clock shows it, ``0:07`` or ``1:02:07``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def local_time(timestamp: str | None) -> str:
    """Return a server's timestamp in the local time zone, to the minute; unchanged if it is invalid."""
    if not timestamp:
        return "-"
    try:
        moment = datetime.fromisoformat(timestamp)
        if moment.tzinfo is None:  # W&B omits the zone for UTC
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return printable(timestamp)
