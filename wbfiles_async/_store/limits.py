"""The limits of each origin: slots for requests, throttling, and its circuit breaker.

All transfers to an origin share its limits: they wait together when it throttles, send fewer concurrent requests,
and none while it is down. Knows no URLs of files, and sends nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import anyio
import attrs

from wbfiles_async._backoff import MAX_RETRY_AFTER
from wbfiles_async._clock import Clock
from wbfiles_async._options import TransferOptions
from wbfiles_async._store.circuit_breaker import FILES, CircuitBreaker
from wbfiles_async._store.concurrency import DISTANT_SECONDS, FIRST, Concurrency
from wbfiles_async._store.throttle_limit import ThrottleLimit
from wbfiles_async._store.turns import Turns
from wbfiles_async._urls import host_of, origin
from wbfiles_async.errors import StoreUnavailableError

__all__ = ["Hop", "OriginLimits", "RequestSlot", "StoreLimits"]

log = logging.getLogger(__name__)

_NONE: Final = frozenset[str]()

ANSWERS_FOR_DISTANCE: Final = 4
"""Number of responses whose fastest shows a store's distance: a single one may be slow for another reason."""

SLOWER: Final = 1.02
"""Factor of the best latency with each further response, so that a store may become slower."""


@attrs.define(eq=False, kw_only=True)
class OriginLimits:
    """The limits of one origin.

    Attributes:
        name: ``scheme://host:port``.
        limit: The concurrent requests that it accepts.
        concurrency: The best number of concurrent requests.
        breaker: Whether requests are worth sending.
        reachable: Whether the last connection succeeded.
        has_answered: Whether it has ever responded.
        ranged: Whether it serves ranges properly.
        answer_seconds: Its best latency in seconds; 0 if unknown.
        backlog: Requests that wait elsewhere for others of this origin.
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

    def slot(self, file: str) -> RequestSlot:
        """Return a slot for a request, acquired by entering it, which also holds a place of the limiter.

        Args:
            file: The file's name, for messages.
        """
        return RequestSlot(self, file)

    @property
    def admits(self) -> bool:
        """Whether the holder of a slot may send another request immediately. Any thread may read it."""
        now = self._clock.monotonic()
        limit = self.limit
        is_open = (
            limit.under_way <= limit.allowed and limit.resumes_at <= now and not self.breaker.seconds_until_probe(now)
        )
        return is_open and not self._turns.give_way()

    def record_answer(self, seconds: float | None) -> None:
        """Record that it responded, whatever the response was.

        Args:
            seconds: Seconds after the request was sent; ``None`` if unknown.
        """
        self.reachable = self.has_answered = True
        if seconds is not None:
            self.answer_seconds = min(self.answer_seconds * SLOWER or seconds, seconds)
            self._answers += 1
            if self._answers == ANSWERS_FOR_DISTANCE and self.concurrency.record_distance(self.answer_seconds):
                self._aim()

    def record_round_trip(self, seconds: float) -> None:
        """Record the round-trip time, a minimum of the latency that needs no response."""
        if seconds >= DISTANT_SECONDS and self.concurrency.record_distance(seconds):
            self._aim()

    def record_demand(self, requests: int) -> None:
        """Record that so many requests at once are known to bring something, as the parts of a large file show."""
        if self.concurrency.record_demand(self._clock.monotonic(), requests):
            self._aim()

    def _aim(self) -> None:
        """Apply the current number of concurrent requests."""
        log.debug("%s: %d requests at once", self.name, self.concurrency.wanted)
        self.limit.aim(self.concurrency.wanted)
        self._admit()
        for on_change in self._on_change:
            on_change()

    def record_success(self, number: int, received: int = 0) -> None:
        """Record that the request of this number succeeded, with bytes that have not been recorded otherwise."""
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
        )
        if changed:
            self._aim()

    def record_failure(self, error: Exception, *, progressed: bool) -> None:
        """Record a failed request that can be retried.

        If no request has succeeded for one file's time budget, the circuit opens for all files.

        Args:
            error: The reason.
            progressed: Whether it had delivered bytes before, like connections that live for a few seconds only.
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
        """Record that the origin asked for fewer requests.

        Args:
            number: The number of the request that was throttled.
            retry_after: Seconds to wait, if stated.

        Returns:
            Seconds without requests to it.
        """
        now, before = self._clock.monotonic(), self.limit.allowed
        longest = self._longest_pause
        if retry_after is None and self._failing_since is not None:
            # The request that decides whether the origin is down is sent on time, not a long pause later.
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
        """Record that a file used up all its attempts here.

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
        """Wait for the end of a pause, for a redirected request with a slot at another origin.

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
        """Wait for a place here, for the end of a pause, and for a place of the limiter.

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
        """Return the number of a request, if it need not wait."""
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
        """Assign free places to those who have waited longest."""
        while self.limit.has_room and self._queue:
            place = self._queue.popleft()
            if not place.done():
                self.limit.under_way += 1
                place.set_result(None)


@attrs.frozen(eq=False)
class Hop:
    """A request with its number at an origin.

    Attributes:
        origin: The origin that it was sent to.
        number: Its number there.
    """

    origin: OriginLimits
    number: int


@attrs.define(eq=False)
class RequestSlot:
    """A request's slot at an origin. Use as an async context manager, and record its outcome.

    Attributes:
        origin: The origin.

    Raises:
        StoreUnavailableError: On entering, if the origin is known to be down.
    """

    origin: OriginLimits
    _file: str
    _number: int = attrs.field(default=0, init=False)
    _held: bool = attrs.field(default=False, init=False)

    @property
    def hop(self) -> Hop:
        """The request, for the origin that the slot is at."""
        return Hop(self.origin, self._number)

    @property
    def is_held(self) -> bool:
        """Whether the place is held."""
        return self._held

    def enter_at_once(self) -> bool:
        """Acquire the place if it is free; return whether it is held."""
        if not self._held and (number := self.origin.acquire_at_once()) is not None:
            self._number, self._held = number, True
        return self._held

    async def __aenter__(self) -> Self:
        if not self._held:
            self._number = await self.origin.acquire(self._file)
            self._held = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Release the place, if it is still held."""
        if self._held:
            self._held = False
            self.origin.release()

    def transfer(self) -> RequestSlot:
        """Move the place to another slot, which counts as entered and must be released or left."""
        other = RequestSlot(self.origin, self._file)
        other._number, other._held = self._number, self._held
        self._held = False
        return other

    def record_success(self, received: int = 0) -> None:
        """Record that the request succeeded, with bytes that nothing else was recorded of."""
        self.origin.record_success(self._number, received)


class StoreLimits:
    """The limits of all origins of one client.

    Args:
        options: State the number of connections and the longest pause.
        limiter: Limits simultaneous requests to all origins together.
        clock: The time.
    """

    def __init__(self, options: TransferOptions, limiter: anyio.Semaphore, clock: Clock) -> None:
        self._options = options
        self._limiter = limiter
        self._most = limiter.value
        self._turns = Turns(clock)
        self._clock = clock
        self._on_change: list[Callable[[], None]] = []
        self._by_name: dict[str, OriginLimits] = {}

    def of(self, url: str) -> OriginLimits:
        """Return the limits of a URL's origin."""
        name = origin(url)
        found = self._by_name.get(name)
        if found is None:
            concurrency = Concurrency(self._most)
            found = self._by_name[name] = OriginLimits(
                name=name,
                limit=ThrottleLimit(concurrency.wanted),
                concurrency=concurrency,
                clock=self._clock,
                longest_pause=min(MAX_RETRY_AFTER, self._options.time_budget),
                longest_failing=self._options.time_budget,
                limiter=self._limiter,
                turns=self._turns,
                on_change=self._on_change,
            )
        return found

    @contextmanager
    def on_change(self, call: Callable[[], None]) -> Iterator[None]:
        """Register a callback during the block for changes of an origin's number of concurrent requests."""
        self._on_change.append(call)
        try:
            yield
        finally:
            self._on_change.remove(call)

    @property
    def avoided(self) -> frozenset[str]:
        """Origins to avoid while there is another URL: unreachable, or down."""
        suspect = [origin for origin in self._by_name.values() if not origin.reachable or origin.breaker.is_open]
        if not suspect:
            return _NONE
        now = self._clock.monotonic()
        return frozenset(it.name for it in suspect if not it.reachable or it.breaker.seconds_until_probe(now))

    @property
    def unranged(self) -> frozenset[str]:
        """Origins that do not serve ranges properly."""
        return frozenset(name for name, origin in self._by_name.items() if not origin.ranged)

    @property
    def most(self) -> int:
        """Maximum simultaneous requests to all origins together."""
        return self._most

    @property
    def wanted(self) -> int:
        """The number of concurrent requests of the origin with the most."""
        return max((origin.limit.allowed for origin in self._by_name.values()), default=min(FIRST, self._most))

    @property
    def free(self) -> int:
        """The number of free places."""
        return self._limiter.value

    @property
    def under_way(self) -> int:
        """The number of requests with a place."""
        return sum(origin.limit.under_way for origin in self._by_name.values())
