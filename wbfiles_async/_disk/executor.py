"""Runs blocking file work off the event loop, and never leaves a thread working behind a caller's back.

Why not aiofiles here: it awaits its threads in a way that lets go of them when the task is cancelled, and a
descriptor may be closed, and a file removed, only when no thread uses them any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec, TypeVar

from wbfiles_async._threads import ThreadsExhaustedError, WorkerThreads, await_to_completion
from wbfiles_async._waiting import MANY_THREADS, Waiting
from wbfiles_async.errors import TransferError

__all__ = ["Disk"]

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""Threads of one client. Disks gain from some parallel work; md5 and writes release the interpreter's lock."""

_Job = tuple[Callable[[], Callable[[], None]], Callable[[BaseException], None]]
"""Does its work in a thread, and returns what reports its result in the loop; and what fails the waiting task."""


class Disk:
    """A few threads of one client's own, so that a slow disk holds up neither the loop nor other clients.

    More of them where short work waits for the disk most of the time, as on a disk of the network. When a caller is
    cancelled, its work is waited for first. All methods raise ``TransferError`` if no thread can be started, and none
    is running.
    """

    def __init__(self) -> None:
        self._threads = WorkerThreads("wbfiles-disk", most=THREADS)
        self._followers = WorkerThreads("wbfiles-md5")
        self._waiting = Waiting()
        self._jobs: list[_Job] = []
        self._batch: asyncio.Future[list[Callable[[], None]]] | None = None

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in one of the threads."""
        return await await_to_completion(_begin(self._threads, partial(work, *args, **kwargs)))

    async def follow(self, work: Callable[[], T]) -> T:
        """Run ``work`` that waits for other work, in a thread beside those."""
        return await await_to_completion(_begin(self._followers, work))

    def begin_following(self, work: Callable[[], T]) -> Future[T]:
        """Begin ``work`` as ``follow`` does, from any thread, and return its outcome.

        Raises:
            ThreadsExhaustedError: No thread can be started, and none is running.
        """
        return self._followers.submit(work)

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
            batch = _begin(self._threads, lambda: [job() for job, _ in jobs])
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

    def close(self) -> None:
        """Let the threads end when their work is done."""
        self._threads.close()
        self._followers.close()


def _begin(threads: WorkerThreads, work: Callable[[], T]) -> asyncio.Future[T]:
    try:
        return threads.begin(work)
    except ThreadsExhaustedError as error:
        raise TransferError(f"{error}.") from error
