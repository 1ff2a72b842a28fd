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

import anyio

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""Threads of one client. Disks gain from some parallel work; md5 and writes release the interpreter's lock."""

_Job = Callable[[], Callable[[], None]]
"""Does its work in a thread, and gives what tells the waiting task of it in the loop."""


class LastingThreads(ThreadPoolExecutor):
    """A pool that serves to the interpreter's very end.

    The standard library's pools refuse work from when the main thread has returned, while other threads of a program
    may still download. These threads are daemons and go on; the exit does not wait for them. Where none can be started,
    as in Python 3.12.1 from that moment on, those that run do the work, and the calling thread where there is none.

    Args:
        threads: Threads at most.
        thread_name_prefix: What their names begin with.
    """

    def __init__(self, threads: int, *, thread_name_prefix: str) -> None:
        super().__init__(threads)  # for its type alone: no thread of it is ever started
        self._name = thread_name_prefix
        self._most = threads
        self._running = 0
        self._closed = False
        self._growing = threading.Lock()
        self._free = threading.Semaphore(0)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        weakref.finalize(self, self._jobs.put, None).atexit = False

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``work`` in a thread."""
        future: Future[T] = Future()
        job = partial(_fulfil, future, partial(work, *args, **kwargs))
        with self._growing:
            if not self._closed and (self._free.acquire(blocking=False) or self._grow()):
                self._jobs.put(job)
                return future
        try:
            threading.Thread(target=job, name="wbfiles-work", daemon=True).start()
        except RuntimeError:
            job()
        return future

    def _grow(self) -> bool:
        """Start one more thread where that is allowed and possible; return whether there is any."""
        if self._running < self._most:
            name, work = f"{self._name}_{self._running}", (self._jobs, self._free)
            with suppress(RuntimeError):
                threading.Thread(target=_serve, args=work, name=name, daemon=True).start()
                self._running += 1
        return self._running > 0

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Have the threads end when they have done what they were given. Does not wait for them.

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
    """Have ``work`` run in a thread of its own, which the interpreter's exit does not wait for."""
    future: Future[T] = Future()
    threading.Thread(target=_fulfil, args=(future, work), name="wbfiles-work", daemon=True).start()
    return future


def _fulfil(future: Future[T], work: Callable[[], T]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(work())
        except BaseException as error:  # raised where it is awaited
            future.set_exception(error)


class Disk:
    """A few threads of one client's own, so that a slow disk holds up neither the loop nor other clients.

    When a caller is cancelled, its work is waited for first.
    """

    def __init__(self) -> None:
        self._threads = LastingThreads(THREADS, thread_name_prefix="wbfiles-disk")
        self._waiting: list[_Job] = []
        self._batch: asyncio.Future[list[Callable[[], None]]] | None = None

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread of its own."""
        return await finished(self._hand_over(partial(work, *args, **kwargs)))

    async def follow(self, work: Callable[[], T]) -> T:
        """Run ``work`` that waits for other work, in a thread beside the pool; the exit does not wait for it."""
        return await finished(asyncio.wrap_future(in_new_thread(work)))

    async def run_batched(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run short ``work`` together with what else waits: handing over to a thread costs more than it does."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def job() -> Callable[[], None]:
            try:
                result = work(*args, **kwargs)
            except Exception as error:  # raised where it is awaited
                return partial(outcome.set_exception, error)
            return partial(outcome.set_result, result)

        self._waiting.append(job)
        if self._batch is None:
            self._next_batch()
        return await finished(outcome)

    def _next_batch(self) -> None:
        jobs, self._waiting = self._waiting, []
        self._batch = self._hand_over(lambda: [job() for job in jobs])
        self._batch.add_done_callback(self._deliver)

    def _deliver(self, batch: asyncio.Future[list[Callable[[], None]]]) -> None:
        self._batch = None
        for deliver in batch.result():
            deliver()
        if self._waiting:
            self._next_batch()

    def _hand_over(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let the threads end when their work is done."""
        self._threads.shutdown(wait=False)


async def finished(outcome: asyncio.Future[T], *, interrupt: Callable[[], None] | None = None) -> T:
    """Await the outcome; when cancelled meanwhile, only once it is there. ``interrupt`` can bring that about."""
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        if interrupt is not None:
            interrupt()
        with anyio.CancelScope(shield=True):
            while not outcome.done():
                with suppress(asyncio.CancelledError):  # cancelled once more; the thread still works
                    await asyncio.wait([outcome])
        outcome.exception()  # seen, so that the loop does not complain of it
        raise
