"""Reports the bytes that a worker thread transfers to the event loop, at most a few hundred times per second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["ByteReports"]

REPORT_SECONDS: Final = 0.01
"""Minimum seconds between reports, each of which contends for Python's lock."""


class ByteReports:
    """The reports of one transfer. Made in the event loop.

    Args:
        on_bytes: Called in the event loop with the number of further bytes. An exception ends the transfer.
    """

    def __init__(self, on_bytes: Callable[[int], None]) -> None:
        self._on_bytes = on_bytes
        self._loop = asyncio.get_running_loop()
        self._moved = 0  # only the thread writes it
        self._reported = 0  # only the loop writes it
        self._scheduled = self._is_ended = False
        self._error: Exception | None = None

    # In the thread.

    def check(self) -> None:
        """Raise the callback's exception."""
        if self._error is not None:
            raise self._error

    def add(self, count: int) -> None:
        """Report this many bytes soon."""
        self._moved += count
        if count and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._loop.call_later, REPORT_SECONDS, self.report)

    # In the loop.

    def report_ahead(self, count: int) -> None:
        """Report bytes before they are added: the callback may end the transfer before it is complete."""
        if count:
            self._reported += count
            self._on_bytes(count)

    def report(self) -> None:
        """Report what was added since the last time."""
        if self._is_ended:
            return
        self._scheduled = False  # before reading the count, so that later bytes are reported again
        count = self._moved - self._reported
        try:
            if count > 0:
                self._reported += count
                self._on_bytes(count)
        except Exception as error:  # the callback's own; it ends the transfer
            self._error = error

    def end(self) -> None:
        """Report the rest, and nothing afterwards."""
        self.report()
        self._is_ended = True

    def abandon(self) -> None:
        """Stop reporting."""
        self._is_ended = True
