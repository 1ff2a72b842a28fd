"""Completes small bodies: in the receiving thread, or in many threads if sinks block it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from wbfiles_async._http.extensions import Sink
from wbfiles_async._threads import ThreadsExhaustedError, WorkerThreads
from wbfiles_async._waiting import MANY_THREADS, Waiting

__all__ = ["SinkThreads"]


class SinkThreads:
    """Passes bodies to their sinks.

    Args:
        threads: The pool of threads.
    """

    def __init__(self, threads: WorkerThreads) -> None:
        self._threads = threads
        self._waiting = Waiting()
        self._free = threading.Semaphore(MANY_THREADS)

    def fill(self, sink: Sink, body: memoryview, on_filled: Callable[[Exception | None], None]) -> bool:
        """Pass a body to its sink and complete it; return whether that is done.

        Otherwise another thread does it, and calls ``on_filled`` with the sink's exception. Blocks while all threads
        are busy.

        Args:
            sink: Takes the body.
            body: The whole body; not used after this has returned.
            on_filled: Called in another thread, only if this returns false.

        Raises:
            Exception: The sink's exception, if it was filled in this thread.
        """
        if not self._waiting.is_long:
            self._waiting.measure(lambda: _fill(sink, body))
            return True
        copy = bytes(body)

        def fill() -> None:
            error = None
            try:
                self._waiting.measure(lambda: _fill(sink, copy))
            except Exception as raised:  # raised when the batch is awaited
                error = raised
            self._free.release()
            on_filled(error)

        self._free.acquire()
        try:
            self._threads.submit(fill)
        except ThreadsExhaustedError:
            fill()
        return False


def _fill(sink: Sink, body: bytes | memoryview) -> None:
    sink.write(body)
    sink.complete()
