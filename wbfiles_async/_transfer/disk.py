"""Runs blocking file work off the event loop, and never leaves a thread working behind a caller's back.

Why not aiofiles here: it awaits its threads in a way that lets go of them when the task is cancelled, and a
descriptor may be closed, and a file removed, only when no thread uses them any more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
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

    All pools refuse work from when the main thread has returned, while other threads of a program may still
    download; from then on each piece of work has a thread of its own. Where no thread can be started either, as in an
    interpreter that exits, the work is done at once in the calling thread: late is better than not at all.
    """

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``work`` in a thread."""
        with suppress(RuntimeError):
            return super().submit(work, *args, **kwargs)
        job = partial(work, *args, **kwargs)
        with suppress(RuntimeError):
            return in_new_thread(job)
        future: Future[T] = Future()
        _fulfil(future, job)
        return future


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
