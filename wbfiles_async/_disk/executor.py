"""Runs blocking file work off the event loop, and never leaves a thread running after its caller returns.

aiofiles is not used here, since it abandons its threads when the task is cancelled, and a descriptor may be closed,
and a file removed, only after all threads have finished with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec, TypeVar

from wbfiles_async._disk.small_file_writer import SmallFileWriter
from wbfiles_async._threads import ThreadsExhaustedError, WorkerThreads, await_to_completion
from wbfiles_async._waiting import MANY_THREADS, Waiting
from wbfiles_async.errors import TransferError

__all__ = ["Disk"]

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""Threads of one client. Disks gain from some parallel work; md5 and writes release the interpreter's lock."""

_Job = tuple[Callable[[], Callable[[], None]], Callable[[BaseException], None]]
"""A job, which returns a function that reports its result in the event loop; and one that fails the waiting task."""


class Disk:
    """A few threads per client, so that a slow disk blocks neither the event loop nor other clients.

    There are more if short work mostly waits for the disk, as on a network disk. If a caller is cancelled, its work
    is waited for first. All methods raise ``TransferError`` if no thread can be started, and none
    is running.

    Attributes:
        writer: Writes small files, in these threads and those of the transport.
    """

    def __init__(self) -> None:
        self.writer = SmallFileWriter()
        self._threads = WorkerThreads("wbfiles-disk", most=THREADS)
        self._followers = WorkerThreads("wbfiles-md5")
        self._waiting = Waiting()
        self._jobs: list[_Job] = []
        self._batch: asyncio.Future[list[Callable[[], None]]] | None = None

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in one of the threads."""
        return await await_to_completion(_begin(self._threads, partial(work, *args, **kwargs)))

    async def follow(self, work: Callable[[], T]) -> T:
        """Run ``work`` that waits for other work, in an additional thread."""
        return await await_to_completion(_begin(self._followers, work))

    def begin_following(self, work: Callable[[], T]) -> Future[T]:
        """Start ``work`` like ``follow``, from any thread, and return its outcome.

        Raises:
            ThreadsExhaustedError: No thread can be started, and none is running.
        """
        return self._followers.submit(work)

    async def run_batched(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run short ``work`` together with other queued work, since handing it to a thread costs more than the work.

        If such work waits for the disk, run it separately.
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
            except BaseException as error:  # raised when it is awaited
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
        except BaseException as error:  # no caller may wait for work that was not started
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
