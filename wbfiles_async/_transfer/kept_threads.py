"""Threads that are kept for a moment: to start one for each part of a file takes longer than to ask for the part."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from wbfiles_async._transfer.disk import fulfil

T = TypeVar("T")

KEPT_SECONDS = 1.0
"""How long a thread waits for more work: longer than a store takes to answer, too short to be in anybody's way."""

_Job = Callable[[], None]


class KeptThreads:
    """As many threads as there is work at a time. The interpreter's exit does not wait for them."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[_Job]] = []

    def run(self, work: Callable[[], T]) -> Future[T]:
        """Have ``work`` run in a thread."""
        future: Future[T] = Future()
        job = partial(fulfil, future, work)
        try:
            self._idle.pop().put(job)
        except IndexError:
            threading.Thread(target=self._serve, args=(job,), name="wbfiles-receive", daemon=True).start()
        return future

    def _serve(self, job: _Job) -> None:
        jobs: SimpleQueue[_Job] = SimpleQueue()
        while True:
            job()
            del job  # what it refers to can be large
            self._idle.append(jobs)
            try:
                job = jobs.get(timeout=KEPT_SECONDS)
            except Empty:
                try:
                    self._idle.remove(jobs)
                except ValueError:  # somebody was quicker, and has a job for this thread
                    job = jobs.get()
                else:
                    return
