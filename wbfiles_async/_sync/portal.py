"""The I/O thread, with the event loop of all blocking calls of this process.

anyio's ``start_blocking_portal`` is not used: kept open, its thread hangs the interpreter at exit; cancelling its
futures does not wait for the task's clean-up, as Ctrl-C must; and a call takes two trips to the event loop instead
of one.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

from wbfiles_async.errors import ConfigurationError, TransferError, WBFilesError

if TYPE_CHECKING:
    import asyncio

    from wbfiles_async._sync.loop_executor import LoopExecutor

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

EXIT_SECONDS = 5.0
"""Maximum seconds that the interpreter's exit waits for clean-up, such as on a hanging disk."""

RESOLVERS = 8
"""Threads for name resolution; downloads rarely have more hosts."""

_EXITS = "The interpreter exits; the blocking objects can no longer be used."

WAIT_SECONDS = 0.5
"""Maximum seconds of a single wait, since Python handles a signal just before a wait only after it."""


class Closable(Protocol):
    """Closed in the thread before it ends."""

    def aclose(self) -> Coroutine[object, object, None]: ...


def has_uvloop() -> bool:
    """Return whether uvloop is installed, from the extra ``uvloop``."""
    return find_spec("uvloop") is not None


def _new_event_loop() -> asyncio.AbstractEventLoop:
    import asyncio
    import socket

    if sys.platform == "win32":  # its default event loop cannot wait for sockets
        return asyncio.SelectorEventLoop()
    if not has_uvloop():
        return asyncio.new_event_loop()
    uvloop = import_module("uvloop")

    async def getaddrinfo(
        loop: asyncio.AbstractEventLoop,
        host: str | None,
        port: int | str | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        return await loop.run_in_executor(None, socket.getaddrinfo, host, port, family, type, proto, flags)

    # uvloop's own name resolution starts threads of libuv, and a child forked later crashes at exit, since libuv
    # waits there for threads that only the parent has.
    loop_type = type("Loop", (uvloop.Loop,), {"getaddrinfo": getaddrinfo, "__module__": "uvloop"})
    loop: asyncio.AbstractEventLoop = loop_type()
    return loop


class _Thread:
    """An event loop in a daemon thread, which delays the interpreter's exit only through ``stop``."""

    _loop: asyncio.AbstractEventLoop
    _stopped: asyncio.Event

    def __init__(self) -> None:
        from wbfiles_async._threads import ThreadsExhaustedError, start_thread

        self.process = os.getpid()
        self.ending = False
        self.clients: set[Closable] = set()
        self.generators: weakref.WeakSet[Closable] = weakref.WeakSet()
        self._calls: set[asyncio.Task[Any]] = set()
        self._closings: set[asyncio.Task[None]] = set()
        from wbfiles_async._sync.loop_executor import LoopExecutor

        started: Future[None] = Future()
        try:
            self._thread = start_thread(partial(self._work, LoopExecutor(RESOLVERS), started), "wbfiles-io")
            started.result()
        except (ThreadsExhaustedError, OSError) as error:
            raise TransferError(
                f"the blocking objects cannot have their thread and event loop ({error}). Raise the limits of open "
                "files and of processes and threads (ulimit -n, ulimit -u, or the pids limit of the container), or end "
                "other programs."
            ) from error

    def _work(self, executor: LoopExecutor, started: Future[None]) -> None:
        try:
            self._serve(executor, started)
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)  # the thread's starter must not wait forever

    def _serve(self, executor: LoopExecutor, started: Future[None]) -> None:
        import asyncio

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._loop.set_default_executor(executor)
            self._stopped = asyncio.Event()
            started.set_result(None)
            await self._stopped.wait()
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
            # From the outermost ones; the event loop would close inner ones at the same time, and fail.
            while self.generators:
                await self.generators.pop().aclose()
            while self.clients:
                await self.clients.pop().aclose()
            await asyncio.gather(*self._closings)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        loop = _new_event_loop()
        try:
            loop.run_until_complete(serve())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            # asyncio.run and anyio.run would wait for the default executor too, for which they start a thread, and
            # Python 3.12 refuses new threads while the interpreter exits. Closing the loop ends the executor's threads.
            loop.close()

    @property
    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def close_soon(self, closable: Closable) -> None:
        """Close without waiting. The garbage collector calls this at any time in any thread, including this one."""

        def close() -> None:
            closing = self._loop.create_task(closable.aclose())
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)

        with suppress(RuntimeError):  # the event loop has ended, and with it the connections
            self._loop.call_soon_threadsafe(close)

    def close_generator(self, values: Closable) -> None:
        """Close a partly read generator, unless the thread closes it at exit, or it belongs to a parent process."""
        if self.process == os.getpid() and not self.ending and values in self.generators:
            self.generators.discard(values)
            if self.is_current:
                self.close_soon(values)
            else:
                run_blocking(values.aclose)

    def leave_if_ending(self) -> None:
        """Keep a daemon thread interrupted by the exit from printing a traceback."""
        if self.ending:
            if threading.current_thread() is not threading.main_thread():
                threading.Event().wait()
            raise ConfigurationError(_EXITS)

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def begin(self, call: _Call[T]) -> None:
        """Start a call, without waiting.

        Raises:
            RuntimeError: The loop has ended.
        """

        def start() -> None:
            task = self._loop.create_task(call.run())
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            call.begun(task)

        self._loop.call_soon_threadsafe(start)

    def cancel(self, call: _Call[T]) -> None:
        """Cancel a call, without waiting."""
        with suppress(RuntimeError):  # the event loop has ended, and with it the call
            self._loop.call_soon_threadsafe(call.cancel)

    def stop(self) -> None:
        """Cancel running calls, close the clients, and end the thread."""
        if self.process == os.getpid() and self._thread.is_alive():
            self.ending = True
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(EXIT_SECONDS)


_lock = threading.Lock()
_thread: _Thread | None = None


def _current() -> _Thread:
    global _thread
    with _lock:
        if _thread is None:
            _thread = _Thread()
            atexit.register(_thread.stop)
        return _thread


def _forget_parent() -> None:
    global _lock, _thread
    _lock, _thread = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


def run_blocking(work: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run async work in the I/O thread and wait for it.

    Works from any thread, also from one with a running event loop. If interrupted (Ctrl-C), the work is cancelled
    and cleaned up before the interruption is raised; a second one does not wait.

    Raises:
        ConfigurationError: Called from the I/O thread itself, which would deadlock.
    """
    thread = _current()
    if thread.is_current:
        raise ConfigurationError(
            "The blocking objects cannot be used inside their own callbacks (progress, on_result), which run in the "
            "thread that does the work. Note what is needed there and call when the download has returned."
        )
    call = _Call(lambda: work(*args, **kwargs))
    try:
        thread.begin(call)
    except RuntimeError:
        thread.leave_if_ending()
        raise
    try:
        while not call.has_ended(WAIT_SECONDS):
            if thread.has_ended and not call.has_ended(0):
                raise ConfigurationError(_EXITS)  # noqa: TRY301  # nothing is left that could cancel the call
        return call.result()
    except BaseException as error:
        try:  # immediately, so that a second interruption cannot prevent the cancellation
            thread.leave_if_ending()
            if not call.has_ended(0):
                thread.cancel(call)
                while not call.has_ended(WAIT_SECONDS):
                    pass
        except BaseException:
            thread.cancel(call)  # possibly for the second time, which is harmless
            raise
        if isinstance(error, WBFilesError | KeyboardInterrupt):
            # The message suffices; thirty frames of ours would hide the caller's line.
            log.debug("The whole traceback of what %s raised:", getattr(work, "__qualname__", work), exc_info=error)
            error.__traceback__ = None
        raise


async def _next(values: AsyncGenerator[T]) -> T | None:
    return await anext(values, None)


def iterate_blocking(values: AsyncGenerator[T]) -> Iterator[T]:
    """Iterate async values in the I/O thread. The generator is closed if the iteration stops early, and at exit.

    Raises:
        ConfigurationError: The iteration was started before the process was forked.
    """
    thread = _current()
    thread.generators.add(values)
    try:
        while True:
            if thread is not _current():
                raise ConfigurationError(
                    "This iteration was begun before the process was forked, on a connection of the parent process. "
                    "Begin it again."
                )
            value = run_blocking(_next, values)
            if value is None:
                return
            yield value
    finally:
        thread.close_generator(values)


class _Call(Generic[T]):
    """Async work that another thread waits for and can cancel.

    With a future of ``concurrent.futures`` and a cancel scope, a small file took a tenth longer.
    """

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._ended: asyncio.Task[T] | None = None
        self._lock = threading.Lock()
        self._lock.acquire()

    # In the I/O thread.

    async def run(self) -> T:
        """Run the work."""
        return await self._work()

    def begun(self, task: asyncio.Task[T]) -> None:
        """Record the task of the work."""
        self._task = task
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved: the caller may have been interrupted
        self._ended = task
        self._lock.release()

    def cancel(self) -> None:
        """Cancel the task, if it has started."""
        if self._task is not None:
            self._task.cancel()

    # In the waiting thread.

    def has_ended(self, seconds: float) -> bool:
        """Wait with a timeout, and return whether it has ended."""
        return self._ended is not None or self._lock.acquire(timeout=seconds)

    def result(self) -> T:
        """Return its result, or raise its error."""
        assert self._ended is not None  # noqa: S101
        return self._ended.result()


def close_at_exit(client: Closable) -> None:
    """Register a client to be closed before the thread ends."""
    _current().clients.add(client)


def close_soon(client: Closable) -> None:
    """Close a client that is no longer referenced, without waiting for it."""
    thread = _thread
    if thread is not None and client in thread.clients:
        thread.clients.discard(client)
        thread.close_soon(client)


def close_now(client: Closable) -> None:
    """Close a client and wait for it."""
    _current().clients.discard(client)
    run_blocking(client.aclose)
