"""Adapts the number of concurrent requests to the throughput. Reads no clock, performs no I/O."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import attrs

__all__ = ["DISTANT_SECONDS", "FIRST", "FIRST_DISTANT", "Concurrency"]

FIRST: Final = 8
"""Initial concurrent requests: as many as a near store needs."""

FIRST_DISTANT: Final = 32
"""The same for a store with a high latency, once that is known."""

FEWEST: Final = 4
"""Minimum concurrent requests, so that others continue while one waits."""

WORTH: Final = 0.25
"""Minimum share of proportional growth to keep more requests: twice as many must have 1.25 times the throughput."""

PROPORTIONAL: Final = 0.75
"""The share above which the next step is a large one."""

DISTANT_SECONDS: Final = 0.015
"""Minimum latency in seconds of a distant store, which gets many concurrent requests soon."""

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

FAILURES: Final = 0.1
"""Share of failed requests that indicates an overloaded store or network."""

FEW_FAILURES: Final = 3
"""Number of failures to ignore, since a few in a thousand are normal."""


class _Trying(Enum):
    """The current experiment."""

    NOTHING = auto()
    MORE = auto()
    FEWER = auto()


@attrs.frozen
class _Rate:
    """The throughput of a number of requests.

    Attributes:
        at_once: The number.
        requests: Requests per second.
        received: Bytes per second.
    """

    at_once: int
    requests: float
    received: float

    def gain(self, before: _Rate) -> float:
        """Return the growth factor: of files or of bytes, whichever is larger."""
        pairs = (self.requests, before.requests), (self.received, before.received)
        return max((now / then for now, then in pairs if then > 0), default=1.0)

    def is_worth(self, before: _Rate, share: float) -> bool:
        """Return whether it gained at least a share of proportional growth."""
        return self.gain(before) >= 1 + share * (self.at_once / before.at_once - 1)


@attrs.define
class Concurrency:
    """The number of concurrent requests to one origin.

    Hill climbing on the throughput: measures briefly, tries more, and keeps them if they gained a fair share of
    proportional growth; at other times tries fewer, and keeps those if nothing was lost. Measures only while more
    requests wait, since otherwise the throughput does not depend on their number.

    Attributes:
        ceiling: Maximum concurrent requests.
        wanted: The best number of concurrent requests, as far as known.
    """

    ceiling: int
    wanted: int = attrs.field(init=False)
    _trying: _Trying = attrs.field(default=_Trying.NOTHING, init=False)
    _base: _Rate | None = attrs.field(default=None, init=False)
    _next: _Trying = attrs.field(default=_Trying.MORE, init=False)
    _is_distant: bool = attrs.field(default=False, init=False)
    _rests_until: float = attrs.field(default=0.0, init=False)
    _rest_seconds: float = attrs.field(default=FIRST_REST, init=False)
    _pushed_back_until: float = attrs.field(default=0.0, init=False)
    _since: float | None = attrs.field(default=None, init=False)
    _settled: bool = attrs.field(default=False, init=False)
    _requests: int = attrs.field(default=0, init=False)
    _received: int = attrs.field(default=0, init=False)
    _failures: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.wanted = min(FIRST, self.ceiling)

    def record(self, now: float, *, requests: int = 0, received: int = 0, is_full: bool) -> bool:
        """Record throughput.

        Args:
            now: Monotonic seconds.
            requests: Completed requests.
            received: Bytes.
            is_full: Whether as many requests as wanted are in progress, and more wait.

        Returns:
            Whether ``wanted`` has changed.
        """
        if not is_full:
            self._since = None
            return False
        if self._since is None:
            self._begin(now, settled=False)
            return False
        self._requests += requests
        self._received += received
        seconds = now - self._since
        if not self._settled:  # the latest requests have just started
            if self._requests >= self.wanted or seconds >= MOST_SECONDS / 2:
                self._begin(now, settled=True)
            return False
        if seconds < LEAST_SECONDS or (self._requests < 2 * self.wanted and seconds < MOST_SECONDS):
            return False
        before = self.wanted
        self._judge(now, _Rate(before, self._requests / seconds, self._received / seconds))
        self._since = None
        return self.wanted != before

    def record_distance(self, answer_seconds: float) -> bool:
        """Record the latency of the store's first responses, and return whether ``wanted`` has changed."""
        before, self._is_distant = self.wanted, answer_seconds >= DISTANT_SECONDS
        if self._is_distant and self._next is _Trying.MORE and not self._rests_until:
            self.wanted = max(before, min(FIRST_DISTANT, self.ceiling))
            self._since = None
        return self.wanted != before

    def record_demand(self, now: float, requests: int) -> bool:
        """Record that so many at once are known to bring something, and return whether ``wanted`` is another number.

        A store that asked for less, or failed too often, is not asked for more at once.
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

    def _begin(self, now: float, *, settled: bool) -> None:
        self._since, self._settled = now, settled
        self._requests = self._received = 0

    def _judge(self, now: float, rate: _Rate) -> None:
        base, trying, failures = self._base, self._trying, self._failures
        self._failures = 0
        if failures > max(FEW_FAILURES, FAILURES * self._requests):
            self.push_back(now, max(FEWEST, rate.at_once // 2))
        elif trying is _Trying.NOTHING or base is None:
            if now >= self._rests_until:
                is_long = self._is_distant and self._next is _Trying.MORE
                self._go_on(now, self._next, rate, LONG_STEP if is_long else STEP)
        elif trying is _Trying.MORE and rate.is_worth(base, WORTH):
            self._rest_seconds = FIRST_REST
            self._go_on(now, trying, rate, LONG_STEP if rate.is_worth(base, PROPORTIONAL) else STEP)
        elif trying is _Trying.FEWER and rate.gain(base) >= NO_LOSS:
            self._rest_seconds = FIRST_REST
            self._go_on(now, trying, rate, STEP)
        elif trying is _Trying.MORE and rate.at_once > STEP * base.at_once:  # that step was too large
            self.wanted = STEP * base.at_once
        else:
            self.wanted = base.at_once
            self._rest(now)

    def _go_on(self, now: float, direction: _Trying, base: _Rate, step: int) -> None:
        """Change the number of requests, within its limits."""
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
