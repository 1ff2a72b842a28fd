"""Waits until a socket is readable or writable: in a thread, and in event loops, including those without support."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import attrs

from wbfiles_async._threads import start_thread

__all__ = ["block_until_ready", "wait_until_ready", "watch"]

IDLE_SECONDS: Final = 0.5
"""Seconds that the thread waits for another socket before it ends."""


def watch(opened: socket.socket, on_ready: Callable[[], object], *, writing: bool = False) -> Callable[[], object]:
    """Register a callback in the running event loop for whenever a socket is ready.

    Args:
        opened: The socket.
        on_ready: The callback.
        writing: Whether to wait until it is writable; otherwise, until it is readable.

    Returns:
        A function that ends that; to be called before the socket is closed.
    """
    loop, number = asyncio.get_running_loop(), opened.fileno()
    try:
        if writing:
            loop.add_writer(number, on_ready)
            return partial(loop.remove_writer, number)
        loop.add_reader(number, on_ready)
    except NotImplementedError:  # Windows' own loop
        watched = _Watched(opened, on_ready, loop, writing)
        _watcher.add(watched)
        return watched.end
    return partial(loop.remove_reader, number)


async def wait_until_ready(opened: socket.socket, *, writing: bool = False) -> None:
    """Wait until a socket is readable or writable."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    unwatch = watch(opened, on_ready, writing=writing)
    try:
        await ready
    finally:
        unwatch()


def block_until_ready(opened: socket.socket, seconds: float) -> bool:
    """Block until a socket is readable or writable, or has failed; return whether that was in time."""
    if sys.platform == "win32" or not hasattr(select, "poll"):  # its own has no limit on the number
        return any(select.select([opened], [opened], [opened], seconds))
    poll = select.poll()  # select.select refuses sockets with a number above 1023
    poll.register(opened, select.POLLIN | select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


@attrs.define(eq=False)
class _Watched:
    socket: socket.socket
    _on_ready: Callable[[], object]
    _loop: asyncio.AbstractEventLoop
    writing: bool
    _has_ended: bool = attrs.field(default=False, init=False)

    # In the loop.

    def end(self) -> None:
        """Stop watching."""
        self._has_ended = True
        _watcher.remove(self)

    def _fire(self) -> None:
        if not self._has_ended:
            self._on_ready()
        if not self._has_ended:
            _watcher.add(self)

    # In the thread.

    def report(self) -> None:
        """Report to the event loop that it is ready."""
        with suppress(RuntimeError):  # the event loop was closed; no task waits any more
            self._loop.call_soon_threadsafe(self._fire)


class _Watcher:
    """A thread that watches the sockets of event loops without support.

    It lasts while there are any, and briefly longer. anyio's is not used: a socket that is closed while it is
    watched, such as after a timeout, can end its thread on Windows, and then all waiters hang.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[_Watched] = set()
        self._waker: socket.socket | None = None  # exists while the thread does
        self._rounds = 0

    def add(self, watched: _Watched) -> None:
        """Watch a socket until it is ready once.

        Raises:
            ThreadsExhaustedError: No thread can be started.
        """
        with self._changed:
            self._watched.add(watched)
            if self._waker is None:
                waker, wakened = socket.socketpair()
                waker.setblocking(False)
                wakened.setblocking(False)
                try:
                    start_thread(partial(self._run, waker, wakened), "wbfiles-readiness")
                except BaseException:
                    self._watched.discard(watched)
                    waker.close()
                    wakened.close()
                    raise
                self._waker = waker
            _wake(self._waker)

    def remove(self, watched: _Watched) -> None:
        """Stop watching, and return when the socket can be closed, which is soon, since the thread is woken."""
        with self._changed:
            if watched in self._watched and self._waker is not None:
                self._watched.discard(watched)
                rounds = self._rounds
                _wake(self._waker)
                self._changed.wait_for(lambda: self._rounds > rounds or self._waker is None)

    def _run(self, waker: socket.socket, wakened: socket.socket) -> None:
        with waker, wakened:
            while True:
                with self._changed:
                    watched = [*self._watched]
                ready = _wait_for_some(watched, wakened, None if watched else IDLE_SECONDS)
                woken = False
                with suppress(BlockingIOError):
                    woken = bool(wakened.recv(4096))
                with self._changed:
                    for each in self._watched.intersection(ready):
                        self._watched.discard(each)
                        each.report()
                    self._rounds += 1
                    self._changed.notify_all()
                    if not (woken or watched or self._watched):
                        self._waker = None
                        return


def _wake(waker: socket.socket) -> None:
    with suppress(BlockingIOError):  # it has not woken up yet from many earlier calls
        waker.send(b"!")


def _wait_for_some(watched: Sequence[_Watched], wakened: socket.socket, seconds: float | None) -> Sequence[_Watched]:
    """Return the ready ones, as soon as there are any, or ``wakened`` is readable."""
    reading = [wakened, *(each.socket for each in watched if not each.writing)]
    writing = [each.socket for each in watched if each.writing]
    try:
        # Windows reports in the third that a connection failed.
        readable, writable, failed = map(set, select.select(reading, writing, writing, seconds))
    except (OSError, ValueError):  # one of them is closed, or there are too many: their users will notice
        return watched
    return [each for each in watched if each.socket in (writable | failed if each.writing else readable)]


_watcher = _Watcher()
