"""Fetches many small files in one thread, over several connections at once: asks, receives, and has each taken there.

A small file takes a few dozen short steps, each of which needs Python's lock. In one thread they follow one another;
shared between the loop and other threads they would mostly wait for the lock and for each other. So the loop hands
over `Series` of files, and is told a few times a second what became of them.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from wbfiles_async._transfer.disk import in_new_thread
from wbfiles_async._transfer.series import Series

TELL_SECONDS = 0.02
"""How often the loop is told at most, so that it is woken for several files at a time where they come quickly."""

LOOK_SECONDS = 0.1
"""How often it is looked for connections that have stalled."""

IDLE_SECONDS = 1.0
"""How long the thread waits for more to do: who fetches one file after the other spares a thread for each."""


class Lane:
    """A thread that series share. It lasts while there are any, and for a moment longer.

    Attributes:
        series: How many there are now.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._begun: list[Series] = []
        self._some_abandoned = False
        self._asleep = False
        self._alarm: socket.socket | None = None  # there while the thread is
        self._patience = IDLE_SECONDS
        self.series = 0

    # In the loop.

    def begin(self, series: Series) -> None:
        """Have a series' errands done, one after the other. Wait for its ``news``, or ``end`` it."""
        series.rouse = self._look_soon
        self.series += 1
        with self._lock:
            self._begun.append(series)
            if self._alarm is None:
                self._alarm, heard = socket.socketpair()
                in_new_thread(partial(self._run, self._alarm, heard))
            self._rouse()

    def close(self) -> None:
        """Have the thread end as soon as no series is left. Does not wait."""
        with self._lock:
            self._patience = 0.0
            self._rouse()

    def _look_soon(self) -> None:
        with self._lock:
            self._some_abandoned = True
            self._rouse()

    def _rouse(self) -> None:
        if self._asleep and self._alarm is not None:
            self._asleep = False
            self._alarm.send(b"!")

    def _tell(self, news: set[Series], over: list[Series]) -> None:
        self.series -= len(over)
        for series in news:
            series.hear(over=False)
        for series in over:
            series.hear(over=True)

    # In the thread.

    def _tell_loop(self, news: set[Series], over: list[Series]) -> None:
        with suppress(RuntimeError):  # the loop was closed; nobody waits any more
            self._loop.call_soon_threadsafe(lambda: self._tell(news, over))

    def _run(self, alarm: socket.socket, heard: socket.socket) -> None:
        with alarm, heard, selectors.DefaultSelector() as selector:
            selector.register(heard, selectors.EVENT_READ)
            rounds = _Rounds(selector, self._tell_loop)
            while True:
                with self._lock:
                    begun, self._begun = self._begun, []
                    look, self._some_abandoned = self._some_abandoned, False
                    if not begun and rounds.idle_since + self._patience <= time.monotonic():
                        self._alarm = None
                        return
                    self._asleep = not (begun or look)
                rounds.admit(begun)
                rounds.play(wait=self._asleep)
                self._asleep = False
                rounds.close(look=look)


class _Rounds:
    """The rounds of the thread: wait until something comes, act on it, and tell the loop."""

    def __init__(self, selector: selectors.BaseSelector, tell: Callable[[set[Series], list[Series]], object]) -> None:
        self._selector = selector
        self._tell = tell
        self._active: set[Series] = set()
        self._news: set[Series] = set()
        self._over: list[Series] = []
        self._now = self._looked_at = self._told_at = 0.0
        self._clock = time.monotonic()

    @property
    def idle_since(self) -> float:
        """Monotonic seconds; infinite while there is something to do."""
        return math.inf if self._active or self._news or self._over else self._clock

    def admit(self, begun: Sequence[Series]) -> None:
        for series in begun:
            self._active.add(series)
            self._selector.register(series.connection.socket, selectors.EVENT_READ, series)
            if not series.begin(self._now):
                self._end(series)

    def play(self, *, wait: bool) -> None:
        seconds = TELL_SECONDS if self._news else LOOK_SECONDS if self._active else IDLE_SECONDS
        for key, _ in self._selector.select(seconds if wait and not self._over else 0):
            series: Series | None = key.data
            if series is None:  # the alarm
                assert isinstance(key.fileobj, socket.socket)  # noqa: S101
                key.fileobj.recv(64)
            elif series.receive(self._now):
                self._news.add(series)
            else:
                self._end(series)
        # A round that took longer did so for the disk, which no connection is to blame for.
        clock = time.monotonic()
        self._now += min(clock - self._clock, LOOK_SECONDS)
        if self._active or self._over:
            self._clock = clock

    def close(self, *, look: bool) -> None:
        if look or self._now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._now
            for series in [series for series in self._active if not series.look(self._now)]:
                self._end(series)
        if self._over or (self._news and self._now - self._told_at >= TELL_SECONDS):
            self._told_at = self._now
            news, over = self._news, self._over
            self._news, self._over = set(), []
            self._tell(news, over)

    def _end(self, series: Series) -> None:
        self._selector.unregister(series.connection.socket)
        self._active.discard(series)
        self._news.discard(series)
        self._over.append(series)
