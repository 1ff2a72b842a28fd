"""Threads that are kept for a moment: to start one for each part of a file takes longer than to ask for the part."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

KEPT_SECONDS = 1.0
"""How long a thread waits for more work: longer than a store takes to answer, too short to be in anybody's way."""

_Job = Callable[[], Callable[[], None]]
"""Does its work, and gives what tells the outcome."""


class KeptThreads:
    """As many threads as there is work at a time. The interpreter's exit does not wait for them."""

    def __init__(self) -> None:
        self._free: list[SimpleQueue[_Job | None]] = []
        self._kept_seconds = KEPT_SECONDS

    def run(self, work: Callable[[], T]) -> Future[T]:
        """Have ``work`` run in a thread. Once begun it cannot be cancelled."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        job = partial(_done, future, work)
        try:
            self._free.pop().put(job)
        except IndexError:
            threading.Thread(target=self._serve, args=(job,), name="wbfiles-receive", daemon=True).start()
        return future

    def close(self) -> None:
        """Have the threads end that have nothing to do, and the others when they are done."""
        self._kept_seconds = 0.0
        with suppress(IndexError):
            while True:
                self._free.pop().put(None)

    def _serve(self, job: _Job | None) -> None:
        jobs: SimpleQueue[_Job | None] = SimpleQueue()
        while job is not None:
            tell = job()
            self._free.append(jobs)  # before the outcome is known: who then has more work finds this thread
            tell()
            del job, tell  # what they refer to can be large
            try:
                job = jobs.get(timeout=self._kept_seconds)
            except Empty:
                try:
                    self._free.remove(jobs)
                except ValueError:  # somebody was quicker, and has a job for this thread
                    job = jobs.get()
                else:
                    return


def _done(future: Future[T], work: Callable[[], T]) -> Callable[[], None]:
    try:
        return partial(future.set_result, work())
    except BaseException as error:  # raised where it is awaited
        return partial(future.set_exception, error)
