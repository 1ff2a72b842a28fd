"""Runs blocking file work off the event loop, and never leaves a thread working behind a caller's back.

Why not aiofiles here: it awaits its threads in a way that lets go of them when the task is cancelled, and a
descriptor may be closed, and a file removed, only when no thread uses them any more.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

from wbfiles_async._threads import (
    MANY_THREADS,
    ThreadsExhaustedError,
    Waiting,
    await_to_completion,
    job_of,
    start_thread,
)
from wbfiles_async.errors import TransferError

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""Threads of one client. Disks gain from some parallel work; md5 and writes release the interpreter's lock."""

_Job = tuple[Callable[[], Callable[[], None]], Callable[[BaseException], None]]
"""Does its work in a thread, and returns what reports its result in the loop; and what fails the waiting task."""


class LastingThreads(ThreadPoolExecutor):
    """A pool that serves to the interpreter's very end, and with as many threads as can be started.

    The standard library's pools refuse work from when the main thread has returned, while other threads of a program
    may still download. These threads are daemons and keep running; the exit does not wait for them. If none can be
    started, as in Python 3.12.1 from that moment on, those that run do the work, and at the exit the calling thread.

    Args:
        threads: Threads at most.
        thread_name_prefix: What their names begin with.

    Attributes:
        most: Threads at most; may be changed.
    """

    def __init__(self, threads: int, *, thread_name_prefix: str) -> None:
        super().__init__(threads)  # for its type alone: no thread of it is ever started
        self._name = thread_name_prefix
        self.most = threads
        self._running = 0
        self._closed = False
        self._growing = threading.Lock()
        self._free = threading.Semaphore(0)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        weakref.finalize(self, self._jobs.put, None).atexit = False

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``work`` in a thread.

        Raises:
            TransferError: None can be started, and none is there.
        """
        future: Future[T] = Future()
        self.begin(partial(_fulfil, future, partial(work, *args, **kwargs)))
        return future

    def begin(self, job: Callable[[], None]) -> None:
        """Run a job, which raises nothing, in a thread.

        Raises:
            TransferError: None can be started, and none is there.
        """
        with self._growing:
            if not self._closed and (self._free.acquire(blocking=False) or self._grow()):
                self._jobs.put(job)
                return
        try:
            _start(job)
        except TransferError as error:
            if "shutdown" not in str(error.__cause__):
                raise
            job()  # the interpreter exits: late is better than not at all

    def _grow(self) -> bool:
        """Start one more thread where that is allowed and possible; return whether there is any."""
        if self._running < self.most:
            with suppress(ThreadsExhaustedError):
                start_thread(partial(_serve, self._jobs, self._free), f"{self._name}_{self._running}")
                self._running += 1
        return self._running > 0

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Have the threads end when their work is done. Does not wait for them.

        What is submitted later has a thread of its own.
        """
        with self._growing:
            self._closed = True
            self._jobs.put(None)


def _serve(jobs: SimpleQueue[Callable[[], None] | None], free: threading.Semaphore) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # what it refers to can be large
        free.release()
    jobs.put(None)  # for the next thread


def in_new_thread(work: Callable[[], T]) -> Future[T]:
    """Have ``work`` run in a thread of its own, which the interpreter's exit does not wait for.

    Raises:
        TransferError: None can be started.
    """
    future: Future[T] = Future()
    _start(partial(_fulfil, future, work))
    return future


def _start(target: Callable[[], None]) -> None:
    try:
        start_thread(target, "wbfiles-work")
    except ThreadsExhaustedError as error:
        raise TransferError(
            f"no further thread can be started ({error}). Raise the limit of processes and threads (ulimit -u, or "
            "the pids limit of the container), or end other programs."
        ) from error


def _fulfil(future: Future[T], work: Callable[[], T]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(work())
        except BaseException as error:  # raised where it is awaited
            future.set_exception(error)


class Disk:
    """A few threads of one client's own, so that a slow disk holds up neither the loop nor other clients.

    More of them where short work waits for the disk most of the time, as on a disk of the network. When a caller is
    cancelled, its work is waited for first.
    """

    def __init__(self) -> None:
        self._threads = LastingThreads(THREADS, thread_name_prefix="wbfiles-disk")
        self._waiting = Waiting()
        self._jobs: list[_Job] = []
        self._batch: asyncio.Future[list[Callable[[], None]]] | None = None

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread of its own."""
        return await await_to_completion(self._hand_over(partial(work, *args, **kwargs)))

    async def follow(self, work: Callable[[], T]) -> T:
        """Run ``work`` that waits for other work, in a thread beside the pool; the exit does not wait for it."""
        return await await_to_completion(asyncio.wrap_future(in_new_thread(work)))

    async def run_batched(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run short ``work`` together with what else waits: handing over to a thread costs more than it does.

        By itself where such work waits for the disk.
        """
        measured = partial(self._waiting.measure, partial(work, *args, **kwargs))
        if self._waiting.is_long:
            self._threads.most = MANY_THREADS
            return await self.run(measured)
        self._threads.most = THREADS
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def job() -> Callable[[], None]:
            try:
                result = measured()
            except BaseException as error:  # raised where it is awaited
                return partial(outcome.set_exception, error)
            return partial(outcome.set_result, result)

        self._jobs.append((job, outcome.set_exception))
        if self._batch is None:
            self._next_batch()
        return await await_to_completion(outcome)

    def _next_batch(self) -> None:
        jobs, self._jobs = self._jobs, []
        try:
            batch = self._hand_over(lambda: [job() for job, _ in jobs])
        except BaseException as error:  # nobody may wait for work that was not begun
            for _, fail in jobs:
                fail(error)
            return
        self._batch = batch
        batch.add_done_callback(self._deliver)

    def _deliver(self, batch: asyncio.Future[list[Callable[[], None]]]) -> None:
        self._batch = None
        for deliver in batch.result():
            deliver()
        if self._jobs:
            self._next_batch()

    def _hand_over(self, work: Callable[[], T]) -> asyncio.Future[T]:
        outcome, job = job_of(work)
        self._threads.begin(lambda: job()())
        return outcome

    def close(self) -> None:
        """Let the threads end when their work is done."""
        self._threads.shutdown(wait=False)
