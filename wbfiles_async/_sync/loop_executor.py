"""The default executor of the blocking objects' event loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from wbfiles_async._threads import WorkerThreads

__all__ = ["LoopExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class LoopExecutor(ThreadPoolExecutor):
    """Worker threads as an executor. asyncio requires the base class, which never starts threads here.

    Args:
        most: Maximum threads.
    """

    def __init__(self, most: int) -> None:
        super().__init__(1)
        self._workers = WorkerThreads("wbfiles-loop", most=most)

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``work`` in a thread."""
        return self._workers.submit(partial(work, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end when their work is done. Does not wait for them."""
        self._workers.close()
