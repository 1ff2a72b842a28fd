"""Draws tallies repeatedly while there are any. Knows neither what they count nor what it draws on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from contextvars import copy_context
from functools import partial

from wbfiles_async._display.tally import Tally
from wbfiles_async._threads import ThreadsExhaustedError, await_to_completion, start_thread

SECONDS_A_PICTURE = 0.1

Canvas = Callable[[], AbstractContextManager[Callable[[Sequence[Tally]], None]]]
"""Opens the canvas, and returns the drawing function; closing it restores the terminal, also after an error."""


class Painter:
    """A thread that draws on one canvas, from the first tally until the last one ends.

    A blocked terminal blocks only this thread, and concurrent downloads share one display.

    Args:
        canvas: The canvas.
        seconds: Seconds between two updates.
        patience: Seconds in which nothing is shown that needs a total.

    Attributes:
        patience: Seconds in which nothing is shown that needs a total, so that none has to be determined.
    """

    def __init__(self, canvas: Canvas, *, seconds: float = SECONDS_A_PICTURE, patience: float = 0.0) -> None:
        self._canvas = canvas
        self._seconds = seconds
        self.patience = patience
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._tallies: list[Tally] = []
        self._leaving: list[Future[None]] = []
        self._thread: threading.Thread | None = None

    @asynccontextmanager
    async def showing(self, tally: Tally) -> AsyncIterator[None]:
        """Show a tally during the block."""
        self._add(tally)
        try:
            yield
        finally:
            await await_to_completion(asyncio.wrap_future(self._remove(tally)))

    @contextmanager
    def showing_blocking(self, tally: Tally) -> Iterator[None]:
        """Like ``showing``, for work that waits in a thread without an event loop."""
        self._add(tally)
        try:
            yield
        finally:
            self._remove(tally).result()

    def _add(self, tally: Tally) -> None:
        with self._lock:
            self._tallies.append(tally)
            if self._thread is None:
                with suppress(ThreadsExhaustedError):  # a display must not fail a download
                    # A notebook identifies the cell of the display by the context.
                    self._thread = start_thread(partial(copy_context().run, self._work), "wbfiles-display")

    def _remove(self, tally: Tally) -> Future[None]:
        gone: Future[None] = Future()
        with self._lock:
            self._tallies.remove(tally)
            if self._thread is None:  # the canvas failed
                gone.set_result(None)
            else:
                self._leaving.append(gone)
                self._woken.set()
        return gone

    def _work(self) -> None:
        try:
            while not self._ended():
                with self._canvas() as draw:
                    while self._drawn(draw):
                        self._woken.wait(self._seconds)
                        self._woken.clear()
        except OSError:  # the terminal may be closed, which must not fail a download
            pass
        finally:
            self._ended(at_once=True)

    def _drawn(self, draw: Callable[[Sequence[Tally]], None]) -> bool:
        """Draw the tallies; return whether there were any. The last one waits for the canvas to close."""
        with self._lock:
            if not self._tallies:
                return False
            tallies, left, self._leaving = tuple(self._tallies), self._leaving, []
        for tally in tallies:
            tally.remember(time.monotonic())
        try:
            draw(tallies)
        finally:
            _release(left)
        return True

    def _ended(self, *, at_once: bool = False) -> bool:
        """End the thread if nothing is left to draw; return whether it has ended."""
        with self._lock:
            if self._thread is not threading.current_thread():
                return True
            if self._tallies and not at_once:
                return False
            self._thread = None
            left, self._leaving = self._leaving, []
        _release(left)
        return True


def _release(left: Sequence[Future[None]]) -> None:
    for gone in left:
        gone.set_result(None)
