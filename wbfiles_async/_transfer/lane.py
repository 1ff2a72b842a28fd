"""Fetches many small files in one thread, over several connections at once: asks, receives, and has each taken there.

A small file takes a few dozen short steps, each of which needs Python's lock. In one thread they follow one another;
shared between the loop and other threads they would mostly wait for the lock and for each other. So the loop hands
over `Series` of files, and is told a few times a second what became of them.

Only what comes whole and as expected is taken here. Whatever else happens ends a series: the connection, and what
came over it, go back to the loop as they are. Knows no origins, no retries, and not what is done with a body.
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
from typing import Protocol

import httpx

from wbfiles_async._protocol.http1 import Head
from wbfiles_async._protocol.low_speed import LowSpeed
from wbfiles_async._transfer.connection import Connection, StaleError
from wbfiles_async._transfer.disk import finished, in_new_thread
from wbfiles_async._transfer.exchange import Answer

TELL_SECONDS = 0.02
"""How often the loop is told at most, so that it is woken for several files at a time where they come quickly."""

LOOK_SECONDS = 0.1
"""How often it is looked for connections that have stalled."""

IDLE_SECONDS = 1.0
"""How long the thread waits for more to do: who fetches one file after the other spares a thread for each."""


class Errand(Protocol):
    """One small file to fetch. Used in the lane's thread."""

    @property
    def request(self) -> bytes:
        """The request's text, asked for just before it is sent. What that raises ends the series, nothing is sent."""
        ...

    @property
    def length(self) -> int:
        """Bytes of the body, one at least; it is held in memory as a whole."""
        ...

    def expects(self, head: Head) -> bool:
        """Tell whether the body behind this head, and all of it, is what is wanted."""
        ...

    def take(self, body: memoryview) -> bool:
        """Use the body before returning; tell whether further errands make sense. May block, and raises nothing."""
        ...


class Series:
    """Errands that follow one another over one connection. ``Lane.begin`` makes one; always ``end`` it.

    Attributes:
        connection: Used by the thread alone until the series has ended.
        done: Errands that have been taken, from the first one on.
        head: The head of an answer that is not as expected, or whose body broke off. Then the connection is in the
            middle of that answer.
        answer: That answer, once the connection has gone back to the loop.
        failure: Why there was no answer.
    """

    def __init__(
        self,
        connection: Connection,
        errands: Sequence[Errand],
        *,
        goes_on: Callable[[], bool],
        silence: float,
        speed: LowSpeed,
        abandoned: Callable[[], None],
    ) -> None:
        self.done = 0
        self.head: Head | None = None
        self.answer: Answer | None = None
        self.failure: Exception | None = None
        self.connection = connection
        self._errands = errands
        self._goes_on = goes_on
        self._silence = silence
        self._speed = speed
        self._lock = threading.Lock()
        self._asked, self._wanted = 0, len(errands)
        self._asked_at = self._looked_at = 0.0
        self._came = connection.came
        self._answer: Head | None = None
        self._told = 0
        self._all_is_well = True
        self._is_abandoned = False
        self._abandoned = abandoned
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiter: asyncio.Future[None] | None = None

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection can be used for further requests."""
        return self.connection.is_free and (self._answer is None or self._answer.keep_alive)

    # In the loop.

    async def news(self) -> int:
        """Wait until more errands are done; give how many, 0 when the series has ended."""
        while self._told == self.done and not self._over.done():
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        news, self._told = self.done - self._told, self.done
        return news

    def recall(self) -> int:
        """Take back the errands that have not been asked for yet; give how many."""
        with self._lock:
            recalled, self._wanted = self._wanted - self._asked, self._asked
        return recalled

    async def end(self) -> None:
        """End the series soon if it has not ended; from then on the thread does nothing more of it."""
        if not self._over.done():
            self._is_abandoned = True
            self._abandoned()
            await finished(self._over)

    def hear(self, *, over: bool) -> None:
        """Be told that there are news."""
        if over:
            self._over.set_result(None)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # In the thread. Each tells whether the series goes on.

    def begin(self, now: float) -> bool:
        """Ask for the first file."""
        self._looked_at = now
        return self._attempt(self._ask, now)

    def receive(self, now: float) -> bool:
        """Take in what has come, and act on it."""
        return self._attempt(self._receive, now)

    def look(self, now: float) -> bool:
        """Judge whether the connection has stalled."""
        if self._is_abandoned:
            return False
        came, self._came = self.connection.came - self._came, self.connection.came
        reason = self._speed.stall(now - self._looked_at, came)
        self._looked_at = now
        if self._answer is None and now - self._asked_at >= self._silence:
            reason = "no answer in time"
        if reason is not None:
            self.failure = httpx.ReadTimeout(reason)
        return reason is None

    def _attempt(self, step: Callable[[float], bool], now: float) -> bool:
        try:
            return step(now)
        except StaleError:
            return False
        except Exception as error:  # raised where the series is awaited
            self.failure = error
            return False

    def _ask(self, now: float) -> bool:
        if self._is_abandoned or (self._asked and not (self._all_is_well and self._goes_on())):
            return False
        with self._lock:
            if self._asked == self._wanted:
                return False
            errand = self._errands[self._asked]
            self._asked += 1
        self._answer = None
        self._asked_at = now
        self.connection.ask(errand.request, errand.length)
        return True

    def _receive(self, now: float) -> bool:
        more = True
        while more:
            more = self.connection.receive()
            if not self._advance(now):
                return False
        return True

    def _advance(self, now: float) -> bool:
        connection, errand, answer = self.connection, self._errands[self.done], self._answer
        if answer is None:
            answer = self._answer = connection.head()
            if answer is None:
                return True
            if not errand.expects(answer):
                self.head = answer
                return False
        body = connection.arrived(errand.length)
        if body is None:
            if connection.has_ended:
                self.head = answer
            return self.head is None
        try:  # the next request is on its way while the disk works
            return answer.keep_alive and connection.is_free and self._ask(now)
        finally:
            self._all_is_well &= errand.take(body)
            self.done += 1


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

    def begin(
        self,
        connection: Connection,
        errands: Sequence[Errand],
        *,
        goes_on: Callable[[], bool],
        silence: float,
        speed: LowSpeed,
    ) -> Series:
        """Have errands done, one after the other.

        Args:
            connection: Free, and used by nobody else until the series has ended.
            errands: What to fetch; one at least.
            goes_on: Asked, in the thread, whether another request may be sent.
            silence: Seconds within which an answer must begin.
            speed: Tells when the connection has stalled.
        """
        series = Series(connection, errands, goes_on=goes_on, silence=silence, speed=speed, abandoned=self._abandon)
        self.series += 1
        with self._lock:
            self._begun.append(series)
            if self._alarm is None:
                self._alarm, heard = socket.socketpair()
                in_new_thread(partial(self._run, self._alarm, heard))
            self._rouse()
        return series

    def close(self) -> None:
        """Have the thread end as soon as no series is left. Does not wait."""
        with self._lock:
            self._patience = 0.0
            self._rouse()

    def _abandon(self) -> None:
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
