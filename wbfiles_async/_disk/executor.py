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

from wbfiles_async.errors import TransferError

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""Threads of one client. Disks gain from some parallel work; md5 and writes release the interpreter's lock."""

_Job = tuple[Callable[[], Callable[[], None]], Callable[[BaseException], None]]
"""Does its work in a thread, and returns what tells the waiting task of it in the loop; and what fails that task."""


class LastingThreads(ThreadPoolExecutor):
    """A pool that serves to the interpreter's very end, and with as many threads as can be started.

    All pools refuse work from when the main thread has returned, while other threads of a program may still
    download; from then on each piece of work has a thread of its own.

    Args:
        most: Threads at most; by default as many as ``ThreadPoolExecutor`` has.
        thread_name_prefix: What their names begin with.
    """

    def __init__(self, most: int | None = None, thread_name_prefix: str = "") -> None:
        self._serves = threading.Event()
        super().__init__(most, thread_name_prefix, initializer=self._serves.set)

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have ``work`` run in a thread.

        Raises:
            TransferError: None can be started, and none is there.
        """
        future: Future[T] = Future()
        fulfil = _once(partial(_fulfil, future, partial(work, *args, **kwargs)))
        try:
            super().submit(fulfil)
        except RuntimeError as error:
            try:
                _start(fulfil)
            except TransferError as refused:
                if "shutdown" in str(refused.__cause__):
                    fulfil()  # the interpreter exits: late is better than not at all
                    return future
                # Unless the pool has ended the work is in its queue all the same, and waits for a thread there.
                if str(error).startswith("cannot schedule") or not self._serves.is_set():
                    future.cancel()
                    raise
        return future


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
        threading.Thread(target=target, name="wbfiles-work", daemon=True).start()
    except RuntimeError as error:
        raise TransferError(
            f"no further thread can be started ({error}). Raise the limit of processes and threads (ulimit -u, or "
            "the pids limit of the container), or end other programs."
        ) from error


def _once(work: Callable[[], None]) -> Callable[[], None]:
    """Return ``work``, made to run only for the first who calls it."""
    unclaimed = threading.Semaphore()

    def claim() -> None:
        if unclaimed.acquire(blocking=False):
            work()

    return claim


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
            except BaseException as error:  # raised where it is awaited
                return partial(outcome.set_exception, error)
            return partial(outcome.set_result, result)

        self._waiting.append((job, outcome.set_exception))
        if self._batch is None:
            self._next_batch()
        return await finished(outcome)

    def _next_batch(self) -> None:
        jobs, self._waiting = self._waiting, []
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
