"""Make a text that a server sent fit for an exception's message. Performs no I/O."""

from __future__ import annotations

from wbfiles_async._protocol.urls import scrub

__all__ = ["clean"]

# More is never shown, and scrubbing without a bound would let a server keep us busy.
_LONGEST_INPUT = 16_384  # characters


def clean(text: str, limit: int) -> str:
    """Return one line of printable text without secrets, of at most ``limit`` characters."""
    printable = "".join(c if c.isprintable() else " " for c in text[:_LONGEST_INPUT])
    line = " ".join(printable.split())
    if len(text) > _LONGEST_INPUT:
        # The last word was cut; half a key is not recognised as one.
        line = line.rpartition(" ")[0]
    line = scrub(line)
    return line if len(line) <= limit else line[: limit - 1] + "…"
