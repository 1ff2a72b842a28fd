"""Worker threads below the event loop: started when there is work, kept for a moment, and never waited for at exit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import anyio

__all__ = ["ThreadsExhaustedError", "Waiting", "WorkerThreads", "await_to_completion", "job_of", "start_thread"]

T = TypeVar("T")

KEPT_SECONDS = 1.0
"""How long a thread waits for more work: longer than a store takes to answer, too short to be in anybody's way."""

MANY_THREADS: Final = 16
"""Threads for short jobs that mostly wait, such as those of a disk on the network."""

LONG_WAIT: Final = 0.001
"""Seconds that a short job of a few system calls waits on a disk with latency, at 0.3 ms a call; elsewhere a tenth."""

_JUDGED: Final = 8
_LOCK_WAIT: Final = 0.0002
"""Seconds to get Python's lock back above which a job may have waited for that, and not for the disk."""

_Job = Callable[[], Callable[[], None]]
"""Does its work, and returns what reports the outcome."""


class ThreadsExhaustedError(RuntimeError):
    """No further thread can be started."""


class Waiting:
    """Whether short jobs spend their time waiting for the disk, so that several threads would do more of them.

    Waiting for Python's lock or for a processor looks the same from outside. So a job that took long while the lock is
    contended says nothing, and of the others the one that waited least counts: a disk with latency delays them all.
    """

    def __init__(self) -> None:
        self._waits: deque[float] = deque(maxlen=_JUDGED)
        self.is_long = False

    def measure(self, job: Callable[[], T]) -> T:
        """Do a job, and record how long it waited. Any thread may call this."""
        began, worked = time.monotonic(), time.thread_time()
        try:
            return job()
        finally:
            waited = time.monotonic() - began - (time.thread_time() - worked)
            if waited < LONG_WAIT or not _lock_is_contended():
                self.record(waited)

    def record(self, seconds: float) -> None:
        """Record how long a job waited."""
        self._waits.append(seconds)
        if seconds < LONG_WAIT:
            self.is_long = False
        elif len(self._waits) == _JUDGED:
            self.is_long = min(self._waits.copy()) >= LONG_WAIT


def _lock_is_contended() -> bool:
    began = time.monotonic()
    time.sleep(0)
    return time.monotonic() - began > _LOCK_WAIT


class WorkerThreads:
    """As many threads as there is work at a time. The interpreter's exit does not wait for them."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._kept_seconds = KEPT_SECONDS

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` in a thread. Once begun it cannot be cancelled.

        Raises:
            ThreadsExhaustedError: No thread can be started.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._begin(partial(_done, future.set_result, future.set_exception, work))
        return future

    async def run(self, work: Callable[[], T], *, interrupt: Callable[[], object] | None = None) -> T:
        """Run ``work`` in a thread; a cancelled caller waits for its end, which ``interrupt`` can bring about.

        Raises:
            ThreadsExhaustedError: No thread can be started.
        """
        outcome, job = job_of(work)
        self._begin(job)
        return await await_to_completion(outcome, interrupt=interrupt)

    def _begin(self, job: _Job) -> None:
        try:
            self._idle.pop().put(job)
        except IndexError:
            try:
                start_thread(partial(self._serve, job), "wbfiles-http")
            except ThreadsExhaustedError as error:
                if "shutdown" not in str(error):
                    raise
                job()()  # the interpreter exits: late is better than not at all

    def close(self) -> None:
        """Let the idle threads end at once, and the others when their work is done."""
        self._kept_seconds = 0.0
        with suppress(IndexError):
            while True:
                self._idle.pop().put(None)

    def _serve(self, job: _Job | None) -> None:
        jobs: SimpleQueue[_Job | None] = SimpleQueue()
        while job is not None:
            report = job()
            self._idle.append(jobs)  # before the outcome is known: further work finds this thread
            report()
            del job, report  # what they refer to can be large
            try:
                job = jobs.get(timeout=self._kept_seconds)
            except Empty:
                try:
                    self._idle.remove(jobs)
                except ValueError:  # a job for this thread is about to arrive
                    job = jobs.get()
                else:
                    return


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


def job_of(work: Callable[[], T]) -> tuple[asyncio.Future[T], Callable[[], Callable[[], None]]]:
    """Return the outcome of ``work`` in the running event loop, and what does it in a thread.

    Leaner than a future of ``concurrent.futures`` that is wrapped, whose locks take longer than short work.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def deliver(setter: Callable[[Any], None], value: object) -> None:
        with suppress(RuntimeError):  # the loop was closed; nobody waits any more
            loop.call_soon_threadsafe(_settle, outcome, setter, value)

    return outcome, partial(_done, partial(deliver, outcome.set_result), partial(deliver, outcome.set_exception), work)


def _settle(outcome: asyncio.Future[T], setter: Callable[[Any], None], value: object) -> None:
    if not outcome.done():
        setter(value)


def _done(
    succeed: Callable[[T], object], fail: Callable[[BaseException], object], work: Callable[[], T]
) -> Callable[[], None]:
    try:
        return partial(_report, succeed, work())
    except BaseException as error:  # raised where it is awaited
        return partial(_report, fail, error)


def _report(setter: Callable[[Any], object], value: object) -> None:
    setter(value)


async def await_to_completion(outcome: asyncio.Future[T], *, interrupt: Callable[[], object] | None = None) -> T:
    """Await the outcome; if cancelled meanwhile, raise only once it is known.

    Args:
        outcome: What to wait for.
        interrupt: Called on cancellation, to bring the outcome about.
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
