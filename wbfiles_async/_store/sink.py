"""Takes the bytes of a range. No sender can write beyond the range's end."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["ExcessError", "RangeSink"]


class ExcessError(Exception):
    """More bytes arrived than the range has."""


class RangeSink:
    """Takes the bytes ``[start, stop)`` of a file in order, over as many responses as it takes.

    Args:
        start: First byte.
        stop: End, exclusive; ``None`` if the file's length is unknown.
        write_at: Takes a piece at an offset. Called in worker threads, and may block.
        on_complete: Called once all bytes have been written, in a worker thread.
        is_short: Whether writing and completing takes so little time that it can be done together with others'.

    Attributes:
        position: The first byte that has not arrived.
        is_complete: Whether ``on_complete`` was called.
    """

    def __init__(
        self,
        start: int,
        stop: int | None,
        write_at: Callable[[int, bytes | memoryview], None],
        on_complete: Callable[[], None] | None = None,
        *,
        is_short: bool = False,
    ) -> None:
        self.start = self.position = start
        self.stop = stop
        self.is_short = is_short
        self.is_complete = False
        self._write_at = write_at
        self._on_complete = on_complete

    @property
    def is_full(self) -> bool:
        """Whether every byte has arrived, as far as their number is known."""
        return self.stop is not None and self.position >= self.stop

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next piece; it is valid until the next call has returned.

        Raises:
            ExcessError: It goes beyond the end; nothing of it is written.
        """
        if self.stop is not None and self.position + len(piece) > self.stop:
            raise ExcessError
        self._write_at(self.position, piece)
        self.position += len(piece)

    def complete(self) -> None:
        """Record that a response is complete; finishes the range, if nothing is missing."""
        if (self.stop is None or self.is_full) and not self.is_complete:
            self.is_complete = True
            if self._on_complete is not None:
                self._on_complete()
