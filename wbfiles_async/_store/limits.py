"""The limits of all origins: slots for requests, throttling, and circuit breakers.

All transfers to an origin share its limits: they wait together when it throttles, send fewer concurrent requests,
and none while it is down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from wbfiles_async._backoff import MAX_RETRY_AFTER
from wbfiles_async._clock import Clock
from wbfiles_async._options import TransferOptions
from wbfiles_async._store.concurrency import FIRST, Concurrency
from wbfiles_async._store.origin_limits import OriginLimits
from wbfiles_async._store.request_slot import RequestSlot
from wbfiles_async._store.throttle_limit import ThrottleLimit
from wbfiles_async._store.turns import Turns
from wbfiles_async._urls import origin

__all__ = ["StoreLimits"]

_NONE: Final = frozenset[str]()


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

    def slot(self, url: str, file: str) -> RequestSlot:
        """Return a slot for a request, acquired by entering it, which also holds a place of the limiter.

        Args:
            url: The request's URL.
            file: The file's name, for messages.
        """
        return RequestSlot(self.of(url), file)

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
    def most(self) -> int:
        """Maximum simultaneous requests to all origins together."""
        return self._most

    @property
    def wanted(self) -> int:
        """The number of concurrent requests of the origin with the most."""
        return max((origin.allowed for origin in self._by_name.values()), default=min(FIRST, self._most))

    @property
    def free(self) -> int:
        """The number of free places."""
        return self._limiter.value

    @property
    def under_way(self) -> int:
        """The number of requests with a place."""
        return sum(origin.limit.under_way for origin in self._by_name.values())
