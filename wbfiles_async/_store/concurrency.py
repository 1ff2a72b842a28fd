"""Adapts the number of concurrent requests to the throughput. Reads no clock, performs no I/O."""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Final

import attrs

__all__ = ["FIRST", "Concurrency"]

FIRST: Final = 8
"""Initial concurrent requests: as many as a near store needs."""

PROCESSED: Final = 2500
"""About the number of small responses that one processor handles per second. Times the latency, it is the number of
requests that keep it busy."""

MOST_FIRST: Final = 64
"""Maximum concurrent requests because of the latency alone; more of them must have increased the throughput."""

FEWEST: Final = 4
"""Minimum concurrent requests, so that others continue while one waits."""

WORTH: Final = 0.25
"""Minimum share of proportional growth to keep more requests: twice as many must have 1.25 times the throughput."""

PROPORTIONAL: Final = 0.75
"""The share above which the next step is a large one."""

NO_LOSS: Final = 0.95
"""Minimum share of the throughput to keep fewer requests."""

LONG_STEP, STEP = 4, 2
"""Factor by which the number of requests changes."""

LEAST_SECONDS: Final = 0.1
"""Minimum seconds of a measurement: shorter ones reflect the event loop rather than the store."""

MOST_SECONDS: Final = 0.5
"""Maximum seconds of a measurement, however few requests have ended: parts of a large file take long."""

FIRST_REST, LONGEST_REST = 1.0, 16.0
"""Seconds until another number is tried; doubled each time there was no gain."""

PUSHED_BACK_REST: Final = 16.0
"""Seconds without growth after the store throttled or failed too often."""

BUSY: Final = 0.85
"""Share of one processor above which more small responses cannot be handled, since that requires Python's lock."""

SMALL_BYTES: Final = 64 << 10
"""Maximum bytes of a response that costs more to handle than to receive."""

FAILURES: Final = 0.1
"""Share of failed requests that indicates an overloaded store or network."""

FEW_FAILURES: Final = 3
"""Number of failures to ignore, since a few in a thousand are normal."""


class _Trying(Enum):
    """The current experiment."""

    NOTHING = auto()
    MORE = auto()
    MORE_AGAIN = auto()
    FEWER = auto()


@attrs.frozen
class _Rate:
    """The throughput of a number of requests.

    Attributes:
        at_once: The number.
        requests: Requests per second.
        received: Bytes per second.
        latency: Seconds that each request takes at least; 0 if unknown.
    """

    at_once: int
    requests: float
    received: float
    latency: float

    def gain(self, before: _Rate) -> float:
        """Return the growth factor: of files or of bytes, whichever is larger."""
        pairs = (self.requests, before.requests), (self.received, before.received)
        return max((now / then for now, then in pairs if then > 0), default=1.0)

    def is_worth(self, before: _Rate, share: float) -> bool:
        """Return whether it gained at least a share of proportional growth."""
        return self.gain(before) >= 1 + share * (self.at_once / before.at_once - 1)

    @property
    def needs_all(self) -> bool:
        """Whether fewer requests would surely lose throughput, since by Little's law the latency limits them."""
        return NO_LOSS * self.requests * self.latency > self.at_once / STEP


@attrs.define
class Concurrency:
    """The number of concurrent requests to one origin.

    Hill climbing on the throughput: measures briefly, tries more, and keeps them if they gained a fair share of
    proportional growth; at other times tries fewer, and keeps those if nothing was lost. One measurement without a gain
    may be due to something else, such as the new connections, and is repeated. Measures only while more requests wait,
    since otherwise the throughput does not depend on their number.

    Attributes:
        ceiling: Maximum concurrent requests.
        wanted: The best number of concurrent requests, as far as known.
    """

    ceiling: int
    wanted: int = attrs.field(init=False)
    _trying: _Trying = attrs.field(default=_Trying.NOTHING, init=False)
    _base: _Rate | None = attrs.field(default=None, init=False)
    _next: _Trying = attrs.field(default=_Trying.MORE, init=False)
    _rests_until: float = attrs.field(default=0.0, init=False)
    _rest_seconds: float = attrs.field(default=FIRST_REST, init=False)
    _pushed_back_until: float = attrs.field(default=0.0, init=False)
    _since: float | None = attrs.field(default=None, init=False)
    _settled: bool = attrs.field(default=False, init=False)
    _worked_before: float = attrs.field(default=0.0, init=False)
    _requests: int = attrs.field(default=0, init=False)
    _received: int = attrs.field(default=0, init=False)
    _failures: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.wanted = min(FIRST, self.ceiling)

    def record(
        self,
        now: float,
        *,
        requests: int = 0,
        received: int = 0,
        is_full: bool,
        worked: float = 0.0,
        latency: float = 0.0,
    ) -> bool:
        """Record throughput.

        Args:
            now: Monotonic seconds.
            requests: Completed requests.
            received: Bytes.
            is_full: Whether as many requests as wanted are in progress, and more wait.
            worked: Processor seconds of the process so far.
            latency: Seconds that each request takes at least; 0 if unknown.

        Returns:
            Whether ``wanted`` has changed.
        """
        if not is_full:
            self._since = None
            return False
        if self._since is None:
            self._begin(now, worked, settled=False)
            return False
        self._requests += requests
        self._received += received
        seconds = now - self._since
        if not self._settled:  # the latest requests have just started
            if self._requests >= self.wanted or seconds >= MOST_SECONDS / 2:
                self._begin(now, worked, settled=True)
            return False
        if seconds < LEAST_SECONDS or (self._requests < 2 * self.wanted and seconds < MOST_SECONDS):
            return False
        before = self.wanted
        is_small = self._received <= SMALL_BYTES * self._requests
        is_busy = is_small and worked - self._worked_before >= BUSY * seconds
        rate = _Rate(before, self._requests / seconds, self._received / seconds, latency)
        self._adapt(now, rate, is_busy=is_busy)
        self._since = None
        return self.wanted != before

    def record_distance(self, answer_seconds: float) -> bool:
        """Record the latency of the store's first responses, and return whether ``wanted`` has changed."""
        number = min(math.ceil(answer_seconds * PROCESSED), MOST_FIRST, self.ceiling)
        if number <= self.wanted or self._next is not _Trying.MORE or self._rests_until:
            return False
        self.wanted, self._since = number, None
        return True

    def record_demand(self, now: float, requests: int) -> bool:
        """Record the number of requests that a large file is known to need, and return whether ``wanted`` has changed.

        It does not grow soon after the store throttled or failed too often.
        """
        number = min(requests, self.ceiling)
        if number <= self.wanted or now < self._pushed_back_until:
            return False
        self.wanted = number
        self._trying, self._base, self._since = _Trying.NOTHING, None, None
        return True

    def record_failure(self) -> None:
        """Record a failed request that may be due to too many of them."""
        self._failures += 1

    def push_back(self, now: float, at_once: int) -> None:
        """Record that this number of concurrent requests was too high for the store."""
        self.wanted = max(1, min(self.wanted, at_once))
        self._trying, self._next, self._since = _Trying.NOTHING, _Trying.MORE, None
        self._rests_until = self._pushed_back_until = now + PUSHED_BACK_REST

    def _begin(self, now: float, worked: float, *, settled: bool) -> None:
        self._since, self._settled, self._worked_before = now, settled, worked
        self._requests = self._received = 0

    def _adapt(self, now: float, rate: _Rate, *, is_busy: bool) -> None:
        base, trying, failures = self._base, self._trying, self._failures
        self._failures = 0
        if failures > max(FEW_FAILURES, FAILURES * self._requests):
            self.push_back(now, max(FEWEST, rate.at_once // 2))
        elif trying is _Trying.NOTHING or base is None:
            if now >= self._rests_until:
                direction = _Trying.MORE if rate.needs_all else self._next
                self._go_on(now, direction, rate, STEP, is_busy=is_busy)
        elif trying is not _Trying.FEWER and rate.is_worth(base, WORTH):
            self._rest_seconds = FIRST_REST
            step = LONG_STEP if rate.is_worth(base, PROPORTIONAL) else STEP
            self._go_on(now, _Trying.MORE, rate, step, is_busy=is_busy)
        elif trying is _Trying.FEWER and rate.gain(base) >= NO_LOSS:
            self._rest_seconds = FIRST_REST
            self._go_on(now, trying, rate, STEP, is_busy=is_busy)
        elif trying is _Trying.MORE:
            self._trying = _Trying.MORE_AGAIN
        elif trying is _Trying.MORE_AGAIN and rate.at_once > STEP * base.at_once:  # that step was too large
            self.wanted, self._trying = STEP * base.at_once, _Trying.MORE
        else:
            self.wanted = base.at_once
            self._rest(now)

    def _go_on(self, now: float, direction: _Trying, base: _Rate, step: int, *, is_busy: bool) -> None:
        """Change the number of requests, within its limits; a busy process does not send more."""
        if is_busy and direction is _Trying.MORE:
            self._rest(now)
            return
        number = base.at_once * step if direction is _Trying.MORE else base.at_once // step
        self._base, self._next = base, direction
        self.wanted, before = max(min(FEWEST, self.ceiling), min(number, self.ceiling)), self.wanted
        if self.wanted == before:
            self._rest(now)
        else:
            self._trying = direction

    def _rest(self, now: float) -> None:
        """Keep the number for a while, then try the other direction."""
        self._next = _Trying.FEWER if self._next is _Trying.MORE else _Trying.MORE
        self._trying, self._base = _Trying.NOTHING, None
        self._rests_until = now + self._rest_seconds
        self._rest_seconds = min(2 * self._rest_seconds, LONGEST_REST)
