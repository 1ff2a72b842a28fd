"""How many requests at once bring something, by what they bring. Reads no clock, performs no I/O."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import attrs

__all__ = ["DISTANT_SECONDS", "FIRST", "FIRST_DISTANT", "Concurrency"]

FIRST: Final = 8
"""Requests at once to begin with: as many as a near store needs."""

FIRST_DISTANT: Final = 32
"""The same for a store whose answers take long to begin, once that is known."""

FEWEST: Final = 4
"""Requests at once that are always worth having: where one of them waits, the others go on."""

WORTH: Final = 0.25
"""Share of a proportional growth that more requests must bring: twice as many at least 1.25 times as much."""

PROPORTIONAL: Final = 0.75
"""The same share, from which on the next step is a long one."""

DISTANT_SECONDS: Final = 0.015
"""Seconds until a store begins to answer, at best, from which on it is asked for many files at once, and soon."""

NO_LOSS: Final = 0.95
"""What fewer requests must still bring of what more of them did, for the fewer to be kept."""

LONG_STEP, STEP = 4, 2
"""By how much the number of requests changes at a time."""

LEAST_SECONDS: Final = 0.1
"""Seconds that are measured at least: shorter ones say more of the event loop than of the store."""

MOST_SECONDS: Final = 0.5
"""Seconds after which is judged, however few requests have ended: the parts of a large file take long."""

FIRST_REST, LONGEST_REST = 1.0, 16.0
"""Seconds for which the number stays as it is before another is tried; twice as long each time nothing was won."""

PUSHED_BACK_REST: Final = 16.0
"""Seconds without a try to grow after the store asked for less, or failed too often."""

FAILURES: Final = 0.1
"""Share of requests that fail by which a store, or the way to it, is overloaded."""

FEW_FAILURES: Final = 3
"""Failures that say nothing: whatever is done a thousand times fails now and then."""


class _Trying(Enum):
    """What is being found out."""

    NOTHING = auto()
    MORE = auto()
    FEWER = auto()


@attrs.frozen
class _Rate:
    """What a number of requests brought.

    Attributes:
        at_once: The number.
        requests: Requests a second.
        received: Bytes a second.
    """

    at_once: int
    requests: float
    received: float

    def gain(self, before: _Rate) -> float:
        """Return how many times as much it is: in files or in bytes, whichever says more."""
        pairs = (self.requests, before.requests), (self.received, before.received)
        return max((now / then for now, then in pairs if then > 0), default=1.0)

    def is_worth(self, before: _Rate, share: float) -> bool:
        """Return whether it gained at least a share of what a proportional growth would have brought."""
        return self.gain(before) >= 1 + share * (self.at_once / before.at_once - 1)


@attrs.define
class Concurrency:
    """How many requests at once one origin is sent.

    Climbs the hill of what they bring: measures for a moment, tries more, and keeps them if they brought a fair share
    of a proportional growth; at another time tries fewer, and keeps those if nothing was lost. Judges only while more
    requests wait to be sent: else what comes says nothing of their number.

    Attributes:
        ceiling: Requests at once at most.
        wanted: Requests at once that bring something, as far as is known.
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
        """Record what has come.

        Args:
            now: Monotonic seconds.
            requests: Requests that were answered in full.
            received: Bytes.
            is_full: Whether as many requests as wanted are under way, and more of them wait.

        Returns:
            Whether ``wanted`` is another number now.
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
        if not self._settled:  # those that were sent last have just begun
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
        """Record how long the store's first answers took to begin, and return whether ``wanted`` is another number."""
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
        """Record that a request failed in a way that may be due to too many of them."""
        self._failures += 1

    def push_back(self, now: float, at_once: int) -> None:
        """Record that so many requests at once were too many for the store."""
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
        elif trying is _Trying.MORE and rate.at_once > STEP * base.at_once:  # that step was too long
            self.wanted = STEP * base.at_once
        else:
            self.wanted = base.at_once
            self._rest(now)

    def _go_on(self, now: float, direction: _Trying, base: _Rate, step: int) -> None:
        """Have more or fewer requests from now on, as far as there may be."""
        number = base.at_once * step if direction is _Trying.MORE else base.at_once // step
        self._base, self._next = base, direction
        self.wanted, before = max(min(FEWEST, self.ceiling), min(number, self.ceiling)), self.wanted
        if self.wanted == before:
            self._rest(now)
        else:
            self._trying = direction

    def _rest(self, now: float) -> None:
        """Leave the number as it is for a while, and then try the other direction."""
        self._next = _Trying.FEWER if self._next is _Trying.MORE else _Trying.MORE
        self._trying, self._base = _Trying.NOTHING, None
        self._rests_until = now + self._rest_seconds
        self._rest_seconds = min(2 * self._rest_seconds, LONGEST_REST)
