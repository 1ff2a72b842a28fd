"""What carries chunks to workers: this process, an executor of ``concurrent.futures`` or of its kind, or Dask."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from wbfiles_async._scale.checks import check_whole
from wbfiles_async._scale.worker import ChunkResult, ChunkTask, Event, run_chunk, topic_of
from wbfiles_async._sync.api import Api
from wbfiles_async.errors import ConfigurationError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Engine", "Handle", "open_engine"]


class Handle(Protocol):
    """A chunk on its way, as ``concurrent.futures.Future`` and Dask's have it."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object:
        """Have a function called with this when the chunk has ended, at once if it has."""
        ...

    def result(self) -> ChunkResult:
        """Return what became of it, or raise what went wrong on the way."""
        ...

    def cancel(self) -> object:
        """Have it not begun, if it has not begun."""
        ...


class Engine(Protocol):
    """Carries chunks to workers."""

    def workers(self) -> int:
        """Return how many chunks can be worked on at once now."""
        ...

    def submit(self, task: ChunkTask, attempt: int) -> Handle:
        """Have a chunk worked on."""
        ...

    def listening(self, plan: str, tell: Callable[[Event], None]) -> AbstractContextManager[None]:
        """Have a function called with how far the workers are while a block runs, where that can be known."""
        ...


def open_engine(on: Client | Executor | None, api: Api | None, workers: int | None) -> Engine:
    """Return what carries chunks to the workers that the caller named.

    Args:
        on: As ``run_plan`` takes it.
        api: The client of this process, if it is to do the work.
        workers: How many chunks to work on at once, if the caller said so.

    Raises:
        ConfigurationError: It is nothing that takes work, or ``api`` is given for workers of their own.
    """
    if workers is not None:
        check_whole("workers", workers, least=1)
    if on is None:
        return _Here(api)
    if api is not None:
        raise ConfigurationError(
            "api is the client of this process, and workers make clients of their own with the credentials that they "
            "find; leave out api or on."
        )
    if hasattr(on, "scheduler_info"):
        if getattr(on, "asynchronous", False):
            raise ConfigurationError("run_plan waits for its workers; give a Client made without asynchronous=True.")
        return _OfDask(on, workers)
    submits: Any = on  # also what has an executor's methods and is none by its class
    if not callable(getattr(submits, "submit", None)):
        raise ConfigurationError(
            f"on is a Client of Dask, an executor as in concurrent.futures, or None for this process, not {on!r}."
        )
    return _OfExecutor(submits, workers)


@attrs.frozen
class _Here:
    """This process, one chunk after the other: a single client uses all of its connections already."""

    _api: Api | None
    _told: list[Callable[[Event], None]] = attrs.field(factory=list)

    def workers(self) -> int:
        return 1

    def submit(self, task: ChunkTask, attempt: int) -> Handle:
        done: Future[ChunkResult] = Future()
        try:
            done.set_result(run_chunk(task, self._api, self._tell))
        except Exception as error:
            done.set_exception(error)
        return done

    def _tell(self, event: Event) -> None:
        for tell in self._told:
            tell(event)

    @contextmanager
    def listening(self, plan: str, tell: Callable[[Event], None]) -> Iterator[None]:
        self._told.append(tell)
        try:
            yield
        finally:
            self._told.remove(tell)


@attrs.frozen
class _OfExecutor:
    """Any executor with ``submit``; how many workers it has is nowhere standardized."""

    _executor: Executor
    _workers: int | None

    def workers(self) -> int:
        if self._workers is not None:
            return self._workers
        for name in ("_max_workers", "num_workers", "max_workers"):  # of the standard library and loky, mpi4py, others
            found = getattr(self._executor, name, None)
            if isinstance(found, int) and found > 0:
                return found
        return os.cpu_count() or 1

    def submit(self, task: ChunkTask, attempt: int) -> Handle:
        return self._executor.submit(run_chunk, task)

    @contextmanager
    def listening(self, plan: str, tell: Callable[[Event], None]) -> Iterator[None]:
        yield


@attrs.frozen
class _OfDask:
    """A cluster of Dask, whose workers come and go. What one that died worked on, another begins again."""

    _client: Any  # its methods state no types
    _workers: int | None

    def workers(self) -> int:
        threads: int = sum(self._client.nthreads().values())
        return threads if self._workers is None else min(threads, self._workers)

    def submit(self, task: ChunkTask, attempt: int) -> Handle:
        # Dask's dashboard sums up what has the same words before the first number. Two calls never mean the same task.
        key = f"wbfiles-chunk-{task.chunk.number:05}-{attempt}-{task.plan}-{os.urandom(4).hex()}"
        handle: Handle = self._client.submit(run_chunk, task, key=key, pure=False)
        return handle

    @contextmanager
    def listening(self, plan: str, tell: Callable[[Event], None]) -> Iterator[None]:
        topic = topic_of(plan)
        self._client.subscribe_topic(topic, lambda logged: tell(_event(logged[1])))
        try:
            yield
        finally:
            self._client.unsubscribe_topic(topic)


def _event(message: Mapping[str, Any]) -> Event:
    """Read what a worker logged; Dask adds the worker's address."""
    return Event(message["number"], message["files"], message["bytes"])
