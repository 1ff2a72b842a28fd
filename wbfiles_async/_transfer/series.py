"""Small files that are fetched one after the other over one connection, as far as all goes well.

Only what comes whole and as expected is taken here. Whatever else happens ends a series: the connection, and what
came over it, go back to the loop as they are. Knows no origins, no retries, and not what is done with a body.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import httpx

from wbfiles_async._protocol.http1 import Head
from wbfiles_async._protocol.low_speed import LowSpeed
from wbfiles_async._transfer.connection import Connection, StaleError
from wbfiles_async._transfer.disk import finished
from wbfiles_async._transfer.exchange import Answer


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
    """Errands that follow one another over one connection, in the thread of a `Lane`.

    Args:
        connection: Free, and used by nobody else until the series has ended.
        errands: What to fetch; one at least.
        goes_on: Asked, in the thread, whether another request may be sent.
        silence: Seconds within which an answer must begin.
        speed: Tells when the connection has stalled.

    Attributes:
        connection: The connection.
        errands: The errands.
        rouse: Makes the thread look at its series. Set by the lane.
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
    ) -> None:
        self.done = 0
        self.head: Head | None = None
        self.answer: Answer | None = None
        self.failure: Exception | None = None
        self.connection = connection
        self.rouse: Callable[[], None]
        self.errands = errands
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
            self.rouse()
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
            errand = self.errands[self._asked]
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
        connection, errand, answer = self.connection, self.errands[self.done], self._answer
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
