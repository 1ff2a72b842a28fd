"""The limits of one origin: concurrent requests, throttling, and its circuit breaker.

Knows no URLs of files, and sends nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import anyio
import attrs

from wbfiles_async._clock import Clock
from wbfiles_async._store.circuit_breaker import FILES, CircuitBreaker
from wbfiles_async._store.concurrency import Concurrency
from wbfiles_async._store.throttle_limit import ThrottleLimit
from wbfiles_async._store.turns import Turns
from wbfiles_async._urls import host_of
from wbfiles_async.errors import StoreUnavailableError

__all__ = ["OriginLimits"]

log = logging.getLogger(__name__)

ANSWERS_FOR_DISTANCE: Final = 8
"""Number of responses after which the best latency counts as the store's: a single one may be slow by chance."""

SLOWER: Final = 1.02
"""Factor by which the best latency grows with each response, so that it follows a store that becomes slower."""


@attrs.define(eq=False, kw_only=True)
class OriginLimits:
    """The limits of one origin.

    Attributes:
        name: ``scheme://host:port``.
        limit: The number of concurrent requests that it accepts.
        concurrency: The best number of concurrent requests, as far as known.
        breaker: Decides whether requests are worth sending.
        reachable: False from a failed connection until the next response.
        has_answered: Whether it has ever responded.
        ranged: Whether it serves ranges properly, as far as known.
        answer_seconds: Its best recent latency in seconds; 0 if unknown.
        backlog: Small files that wait for a batch of this origin, besides the requests that wait here.
    """

    name: str
    limit: ThrottleLimit
    concurrency: Concurrency
    breaker: CircuitBreaker = attrs.field(factory=CircuitBreaker)
    reachable: bool = True
    has_answered: bool = False
    ranged: bool = True
    answer_seconds: float = 0.0
    backlog: int = 0
    _clock: Clock = attrs.field(alias="clock")
    _longest_pause: float = attrs.field(alias="longest_pause")
    _longest_failing: float = attrs.field(alias="longest_failing")
    _limiter: anyio.Semaphore = attrs.field(alias="limiter")
    _turns: Turns = attrs.field(alias="turns")
    _on_change: Sequence[Callable[[], None]] = attrs.field(alias="on_change")
    _queue: deque[asyncio.Future[None]] = attrs.field(factory=deque, init=False)
    _answers: int = attrs.field(default=0, init=False)
    _failing_since: float | None = attrs.field(default=None, init=False)
    _last_failure: str = attrs.field(default="", init=False)
    _why_down: str = attrs.field(default="", init=False)

    @property
    def allowed(self) -> int:
        """The number of concurrent requests that it accepts now."""
        return self.limit.allowed

    @property
    def admits(self) -> bool:
        """Whether the holder of a slot may send another request immediately. Any thread may read it.

        False also once for each request of any origin that has waited too long: the holder must then release its slot.
        """
        now = self._clock.monotonic()
        limit = self.limit
        is_open = (
            limit.under_way <= limit.allowed and limit.resumes_at <= now and not self.breaker.seconds_until_probe(now)
        )
        return is_open and not self._turns.give_way()

    def record_answer(self, seconds: float | None) -> None:
        """Record that it responded, whatever the response was.

        Args:
            seconds: Seconds from the request to the head of the response; ``None`` if unknown.
        """
        self.reachable = self.has_answered = True
        if seconds is not None:
            self.answer_seconds = min(self.answer_seconds * SLOWER or seconds, seconds)
            self._answers += 1
            if self._answers == ANSWERS_FOR_DISTANCE and self.concurrency.record_distance(self.answer_seconds):
                self._aim()

    def record_round_trip(self, seconds: float) -> None:
        """Record the round-trip time of a connection in seconds, a lower bound of the latency."""
        if self.concurrency.record_distance(seconds):
            self._aim()

    def record_demand(self, requests: int) -> None:
        """Record the number of concurrent requests that a large file is known to need."""
        if self.concurrency.record_demand(self._clock.monotonic(), requests):
            self._aim()

    def _aim(self) -> None:
        """Apply the number of concurrent requests after it changed."""
        log.debug("%s: %d requests at once", self.name, self.concurrency.wanted)
        self.limit.aim(self.concurrency.wanted)
        self._admit()
        for on_change in self._on_change:
            on_change()

    def record_success(self, number: int, received: int = 0) -> None:
        """Record that the request of this number succeeded, and received bytes that were not recorded yet."""
        now = self._clock.monotonic()
        self._failing_since = None
        self.breaker.record_success(now)
        self.limit.record_success(number)
        self._measure(now, requests=1, received=received)
        self._admit()

    def record_bytes(self, count: int) -> None:
        """Record that bytes arrived."""
        self._measure(self._clock.monotonic(), received=count)

    def _measure(self, now: float, *, requests: int = 0, received: int) -> None:
        limit, concurrency = self.limit, self.concurrency
        changed = concurrency.record(
            now,
            requests=requests,
            received=received,
            is_full=bool(self._queue or self.backlog) and limit.under_way >= concurrency.wanted,
            worked=self._clock.processor(),
            latency=self.answer_seconds,
        )
        if changed:
            self._aim()

    def record_failure(self, error: Exception, *, progressed: bool) -> None:
        """Record a failed request that can be retried.

        If for the time budget of one file no request has succeeded or made progress, the circuit opens for all files.

        Args:
            error: The reason.
            progressed: Whether it had delivered bytes before, like on connections that break after a few seconds.
        """
        now = self._clock.monotonic()
        self._last_failure = str(error)
        self.concurrency.record_failure()
        if progressed:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= self._longest_failing and not self.breaker.seconds_until_probe(now):
            self._why_down = f"no request succeeded for {now - self._failing_since:.0f} s"
            self.breaker.trip(now)
            log.warning("%s: %s; its files fail immediately until it is back.", self.name, self._why_down)

    def record_throttled(self, number: int, retry_after: float | None) -> float:
        """Record that the origin throttled a request.

        Args:
            number: The number of the request.
            retry_after: Seconds to wait, if stated.

        Returns:
            Seconds from now without requests to the origin.
        """
        now, before = self._clock.monotonic(), self.limit.allowed
        longest = self._longest_pause
        if retry_after is None and self._failing_since is not None:
            # The pause ends in time for the request that decides whether the origin is down.
            longest = min(longest, max(0.0, self._failing_since + self._longest_failing - now))
        self.limit.record_throttled(
            number, now=now, retry_after=retry_after, longest=longest, jitter=self._clock.jitter()
        )
        seconds = self.limit.resumes_at - now
        if self.limit.allowed != before:
            self.concurrency.push_back(now, before)
            self.limit.aim(self.concurrency.wanted)
            log.info("%s asks to slow down: %d requests at once, in %.1f s", self.name, self.limit.allowed, seconds)
        return seconds

    def record_exhausted(self, file: object, error: Exception, *, since: float) -> None:
        """Record that a file used up all its attempts at this origin.

        Args:
            file: Identifies it.
            error: Its last failure.
            since: When it started to fail, in monotonic seconds.
        """
        self._last_failure = str(error)
        if self.breaker.record_exhausted(file, self._clock.monotonic(), since=since):
            self._why_down = f"{FILES} files in a row failed there and none succeeded"
            log.warning(
                "%s failed for %d files in a row; its files fail immediately until it is back.", self.name, FILES
            )

    async def pass_gate(self, file: str) -> int:
        """Wait for the end of a pause. For a redirected request, which has a slot at another origin.

        Returns:
            The number of the request.

        Raises:
            StoreUnavailableError: The origin is known to be down.
        """
        while (seconds := self.limit.resumes_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(seconds)
        self._refuse_if_down(file)
        self.breaker.record_sent(self._clock.monotonic())
        return self.limit.record_sent()

    async def acquire(self, file: str) -> int:
        """Wait for a place here, a place in the client's limiter, and the end of a pause, which takes no place there.

        Returns:
            The number of the request.

        Raises:
            StoreUnavailableError: The origin is known to be down.
        """
        await self._enter()
        try:
            while True:
                self._refuse_if_down(file)
                await self._enter_limiter()
                seconds = self.limit.resumes_at - self._clock.monotonic()
                if seconds <= 0:
                    break
                self._limiter.release()
                await self._clock.sleep(seconds)
            try:
                self._refuse_if_down(file)
                self.breaker.record_sent(self._clock.monotonic())
            except BaseException:
                self._limiter.release()
                raise
            return self.limit.record_sent()
        except BaseException:
            self._leave()
            raise

    def acquire_at_once(self) -> int | None:
        """Acquire both places and return the number of the request; ``None`` if it would have to wait."""
        now = self._clock.monotonic()
        limit, breaker = self.limit, self.breaker
        if self._queue or not limit.has_room or limit.resumes_at > now or breaker.seconds_until_probe(now):
            return None
        try:
            self._limiter.acquire_nowait()
        except anyio.WouldBlock:
            return None
        limit.under_way += 1
        breaker.record_sent(now)
        return limit.record_sent()

    def release(self) -> None:
        """Release both places."""
        self._limiter.release()
        self._leave()

    def _refuse_if_down(self, file: str) -> None:
        seconds = self.breaker.seconds_until_probe(self._clock.monotonic())
        if seconds:
            host = host_of(self.name)
            raise StoreUnavailableError(
                f"{file}: {host} receives no requests for another {seconds:.0f} s, since {self._why_down}. "
                f"The last failure: {self._last_failure}",
                name=file,
                host=host,
                retry_after=seconds,
            )

    async def _enter(self) -> None:
        if self.limit.has_room and not self._queue:
            self.limit.under_way += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            with self._turns.waiting():
                await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._leave()  # the place was assigned meanwhile
            raise  # otherwise it is skipped when its turn comes

    async def _enter_limiter(self) -> None:
        try:
            self._limiter.acquire_nowait()
        except anyio.WouldBlock:
            with self._turns.waiting():
                await self._limiter.acquire()

    def _leave(self) -> None:
        self.limit.under_way -= 1
        self._admit()

    def _admit(self) -> None:
        """Assign free places to the requests that have waited longest."""
        while self.limit.has_room and self._queue:
            place = self._queue.popleft()
            if not place.done():
                self.limit.under_way += 1
                place.set_result(None)
