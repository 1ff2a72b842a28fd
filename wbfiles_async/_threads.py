"""Worker threads below the event loop: started when there is work, kept briefly, and never waited for at exit.

The standard library's pools refuse work after the main thread has returned, while other threads of a program may
still download. These threads are daemons. If no further thread can be started, running ones do the work, or the caller
if there is none and the interpreter exits.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import anyio

__all__ = ["ThreadsExhaustedError", "WorkerThreads", "await_to_completion", "start_thread"]

T = TypeVar("T")

KEPT_SECONDS = 1.0
"""Seconds that an idle thread waits for work: longer than the latency of most stores."""

FEW_THREADS = 4
"""Number of threads up to which the caller starts a new one, and waits until it runs. That takes milliseconds while
many threads are busy, too long for an event loop: further threads are started by threads of the pool."""

_Job = Callable[[], Callable[[], None]]
"""A job, which returns a function that reports the outcome."""


class ThreadsExhaustedError(RuntimeError):
    """No further thread can be started."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"no further thread can be started ({reason}). Raise the limit of processes and threads (ulimit -u, or the "
            "pids limit of the container), or end other programs"
        )
        self.reason = reason

    def __reduce__(self) -> tuple[type[ThreadsExhaustedError], tuple[str]]:
        return type(self), (self.reason,)


class WorkerThreads:
    """A pool of threads.

    Args:
        name: The name of the threads.
        most: Maximum threads; further work waits for one of them. No limit by default.

    Attributes:
        most: The same; may be changed.
    """

    def __init__(self, name: str, *, most: float = math.inf) -> None:
        self._name = name
        self.most = most
        self._lock = threading.Lock()
        self._running = 0
        self._starts_spare = False  # whether a thread is about to start another
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._waiting: deque[_Job] = deque()
        self._kept_seconds = KEPT_SECONDS

    async def run(self, work: Callable[[], T], *, interrupt: Callable[[], object] | None = None) -> T:
        """Run ``work`` in a thread and return its result. A cancelled caller still waits for its end.

        Args:
            work: The work.
            interrupt: Called on cancellation, to end the work early.

        Raises:
            ThreadsExhaustedError: None can be started, and none is running.
        """
        return await await_to_completion(self.begin(work), interrupt=interrupt)

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Start ``work`` in a thread, and return the future of its outcome, in the running event loop.

        Cheaper than a wrapped future of ``concurrent.futures``, whose locks take longer than short work.

        Raises:
            ThreadsExhaustedError: None can be started, and none is running.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def deliver(setter: Callable[[Any], None], value: object) -> None:
            with suppress(RuntimeError):  # the event loop was closed; no task waits any more
                loop.call_soon_threadsafe(_settle, outcome, setter, value)

        succeed, fail = partial(deliver, outcome.set_result), partial(deliver, outcome.set_exception)
        self._begin(partial(_done, succeed, fail, work))
        return outcome

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Start ``work`` in a thread, and return the future of its outcome, which any thread may wait for.

        Raises:
            ThreadsExhaustedError: None can be started, and none is running.
        """
        future: Future[T] = Future()

        def job() -> Callable[[], None]:
            if not future.set_running_or_notify_cancel():
                return lambda: None
            return _done(future.set_result, future.set_exception, work)

        self._begin(job)
        return future

    def _begin(self, job: _Job) -> None:
        with self._lock:
            if self._idle:
                jobs = self._idle.pop()
                self._starts_spare = self._starts_spare or self._needs_spare
                jobs.put(job)
                return
            if self._starts_spare or self._running >= self.most:
                self._waiting.append(job)
                return
            self._running += 1
            self._starts_spare = self._needs_spare  # before the new thread reads it
            try:
                start_thread(partial(self._serve, job), self._name)
                return
            except ThreadsExhaustedError as error:
                self._running -= 1
                self._starts_spare = False
                if self._running:
                    self._waiting.append(job)
                    return
                if "shutdown" not in error.reason:
                    raise
        job()()  # the interpreter exits: run it here

    @property
    def _needs_spare(self) -> bool:
        """Whether no thread is idle for the next job, and the pool rather than its caller should start one."""
        return not self._idle and FEW_THREADS <= self._running < self.most

    def _start_spare(self) -> None:
        """Start a thread for the next job, if none is idle."""
        with self._lock:
            self._starts_spare = self._needs_spare
            if not self._starts_spare:
                return
            self._running += 1
        try:
            start_thread(self._serve, self._name)
        except ThreadsExhaustedError:  # the running threads do the work
            with self._lock:
                self._running -= 1
                self._starts_spare = False

    def close(self) -> None:
        """Let idle threads end at once, and others after their work. Later work still runs."""
        with self._lock:
            self._kept_seconds = 0.0
            for jobs in self._idle:
                jobs.put(None)
            self._running -= len(self._idle)
            self._idle.clear()

    def _serve(self, job: _Job | None = None) -> None:
        jobs: SimpleQueue[_Job | None] = SimpleQueue()
        job = job or self._waiting_job(jobs) or self._next(jobs)
        while job is not None:
            if self._starts_spare:
                self._start_spare()
            report = job()
            del job  # it may refer to large objects
            following = self._waiting_job(jobs)  # before the report: further work finds this thread
            report()
            del report
            job = following or self._next(jobs)

    def _waiting_job(self, jobs: SimpleQueue[_Job | None]) -> _Job | None:
        """Return a waiting job; ``None`` if there is none, and then this thread counts as idle."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(jobs)
            self._starts_spare = False
            return None

    def _next(self, jobs: SimpleQueue[_Job | None]) -> _Job | None:
        try:
            return jobs.get(timeout=self._kept_seconds)
        except Empty:
            with self._lock:
                if jobs in self._idle:
                    self._idle.remove(jobs)
                    self._running -= 1
                    return None
            return jobs.get()  # a job for this thread has just arrived


def start_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """Start and return a thread that the interpreter's exit does not wait for.

    Raises:
        ThreadsExhaustedError: None can be started.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ThreadsExhaustedError(str(error)) from error
    return thread


def _settle(outcome: asyncio.Future[T], setter: Callable[[Any], None], value: object) -> None:
    if not outcome.done():
        setter(value)


def _done(
    succeed: Callable[[T], object], fail: Callable[[BaseException], object], work: Callable[[], T]
) -> Callable[[], None]:
    try:
        return partial(_report, succeed, work())
    except BaseException as error:  # raised when it is awaited
        return partial(_report, fail, error)


def _report(setter: Callable[[Any], object], value: object) -> None:
    setter(value)


async def await_to_completion(outcome: asyncio.Future[T], *, interrupt: Callable[[], object] | None = None) -> T:
    """Await the outcome. A cancelled caller still waits for it, and then raises the cancellation.

    Args:
        outcome: The outcome.
        interrupt: Called on cancellation, to end the work early.
    """
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        if interrupt is not None:
            interrupt()
        with anyio.CancelScope(shield=True):
            while not outcome.done():
                with suppress(asyncio.CancelledError):  # cancelled once more; the work still runs
                    await asyncio.wait([outcome])
        outcome.exception()  # retrieved, so that the loop does not report it
        raise
