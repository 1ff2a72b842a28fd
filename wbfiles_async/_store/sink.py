"""Takes the bytes of a range. Never writes beyond its end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from wbfiles_async._ranges import Range

__all__ = ["CutError", "ExcessError", "RangeSink"]


class ExcessError(Exception):
    """More bytes arrived than the range has."""


class CutError(Exception):
    """All bytes of a shortened range have arrived; more would follow."""


class RangeSink:
    """Takes the bytes ``[start, stop)`` of a file in order, from any number of responses.

    Args:
        start: First byte.
        stop: End, exclusive; ``None`` if the file's length is unknown.
        write_at: Takes a piece at an offset. Called in worker threads, and may block.
        on_complete: Called once all bytes have been written, in a worker thread.
        is_short: Whether writing and completing is short work that can share a thread.

    Attributes:
        position: The first byte that has not arrived.
        is_complete: Whether ``on_complete`` was called.
        stop: The end, which ``cut`` can reduce.
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
        self._lock = threading.Lock()
        self._claimed = start
        self._is_cut = False

    @property
    def left(self) -> int:
        """Bytes that are missing; 0 if unknown."""
        return 0 if self.stop is None else self.stop - self._claimed

    def cut(self, keep: int) -> Range | None:
        """Give up the end of the range, for another connection.

        Args:
            keep: Bytes to keep from the current position on, at least 1.

        Returns:
            The range that is given up; ``None`` if nothing is left beyond that.
        """
        with self._lock:
            if self.stop is None or self._claimed + keep >= self.stop:
                return None
            rest = Range(self._claimed + keep, self.stop)
            self.stop, self._is_cut = rest.start, True
            return rest

    @property
    def is_full(self) -> bool:
        """Whether every byte has arrived, if their number is known."""
        return self.stop is not None and self.position >= self.stop

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next piece; it is valid until the next call has returned.

        Raises:
            ExcessError: It exceeds the end; nothing of it is written.
            CutError: It exceeds the end of a shortened range; the bytes within the range are written.
        """
        with self._lock:  # not while writing, which may take long
            stop, is_cut = self.stop, self._is_cut
            exceeds = stop is not None and self._claimed + len(piece) > stop
            if exceeds and stop is not None and is_cut:
                piece = memoryview(piece)[: stop - self._claimed]
            elif exceeds:
                raise ExcessError
            self._claimed += len(piece)
        if piece:
            self._write_at(self.position, piece)
            self.position += len(piece)
        if exceeds:
            raise CutError

    def complete(self) -> None:
        """Record that a response is complete; completes the range if nothing is missing."""
        if (self.stop is None or self.is_full) and not self.is_complete:
            self.is_complete = True
            if self._on_complete is not None:
                self._on_complete()
