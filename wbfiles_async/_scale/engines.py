"""Engines that run chunks: this process, an executor like those of ``concurrent.futures``, or Dask."""

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
    """A submitted chunk, as in ``concurrent.futures.Future`` and Dask's."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object:
        """Call a function with this when the chunk has ended, immediately if it has."""
        ...

    def result(self) -> ChunkResult:
        """Return its result, or raise its error."""
        ...

    def cancel(self) -> object:
        """Cancel it, if it has not started."""
        ...


class Engine(Protocol):
    """Runs chunks on workers."""

    def workers(self) -> int:
        """Return the current number of simultaneous chunks."""
        ...

    def submit(self, task: ChunkTask, attempt: int) -> Handle:
        """Submit a chunk."""
        ...

    def listening(self, plan: str, on_event: Callable[[Event], None]) -> AbstractContextManager[None]:
        """Call a function with the workers' progress during a block, if available."""
        ...


def open_engine(on: Client | Executor | None, api: Api | None, workers: int | None) -> Engine:
    """Return the engine for the caller's workers.

    Args:
        on: As for ``run_plan``.
        api: The client of this process, if it does the work.
        workers: The number of simultaneous chunks, if given.

    Raises:
        ConfigurationError: It is not an engine, or ``api`` is given for workers that have their own clients.
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
    submits: Any = on  # also objects with an executor's methods but another class
    if not callable(getattr(submits, "submit", None)):
        raise ConfigurationError(
            f"on is a Client of Dask, an executor as in concurrent.futures, or None for this process, not {on!r}."
        )
    return _OfExecutor(submits, workers)


@attrs.frozen
class _Here:
    """This process, one chunk after the other, since a single client already uses all of its connections."""

    _api: Api | None
    _listeners: list[Callable[[Event], None]] = attrs.field(factory=list)

    def workers(self) -> int:
        return 1

    def submit(self, task: ChunkTask, attempt: int) -> Handle:
        done: Future[ChunkResult] = Future()
        try:
            done.set_result(run_chunk(task, self._api, self._report))
        except Exception as error:
            done.set_exception(error)
        return done

    def _report(self, event: Event) -> None:
        for on_event in self._listeners:
            on_event(event)

    @contextmanager
    def listening(self, plan: str, on_event: Callable[[Event], None]) -> Iterator[None]:
        self._listeners.append(on_event)
        try:
            yield
        finally:
            self._listeners.remove(on_event)


@attrs.frozen
class _OfExecutor:
    """Any executor with ``submit``; there is no standard way to get its number of workers."""

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
    def listening(self, plan: str, on_event: Callable[[Event], None]) -> Iterator[None]:
        yield


@attrs.frozen
class _OfDask:
    """A Dask cluster, whose workers may change. The chunk of a dead worker is repeated by another one."""

    _client: Any  # its methods are untyped
    _workers: int | None

    def workers(self) -> int:
        threads: int = sum(self._client.nthreads().values())
        return threads if self._workers is None else min(threads, self._workers)

    def submit(self, task: ChunkTask, attempt: int) -> Handle:
        # Dask's dashboard groups tasks by the words before the first number. Two calls never share a task.
        key = f"wbfiles-chunk-{task.chunk.number:05}-{attempt}-{task.plan}-{os.urandom(4).hex()}"
        handle: Handle = self._client.submit(run_chunk, task, key=key, pure=False)
        return handle

    @contextmanager
    def listening(self, plan: str, on_event: Callable[[Event], None]) -> Iterator[None]:
        topic = topic_of(plan)
        self._client.subscribe_topic(topic, lambda logged: on_event(_event(logged[1])))
        try:
            yield
        finally:
            self._client.unsubscribe_topic(topic)


def _event(message: Mapping[str, Any]) -> Event:
    """Parse a worker's event, to which Dask adds the worker's address."""
    return Event(message["number"], message["files"], message["bytes"])
