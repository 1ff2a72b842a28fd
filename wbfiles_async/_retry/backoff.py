"""Decide what is worth another attempt and how long to wait before it. Reads no clock and draws no chance."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["MAX_DELAY", "MAX_RETRY_AFTER", "delay", "is_transient", "parse_retry_after"]

# Most faults are a lost connection or one busy server and are over at once.
_FIRST_DELAY: Final = 0.1  # seconds
# Longer waits only add idle time once a store is back.
MAX_DELAY: Final = 30.0  # seconds
# A server may ask for more than our own back-off would wait, but neither for an hour nor for ever.
MAX_RETRY_AFTER: Final = 300.0  # seconds
# Spreads the clients that were all told the same time.
_RETRY_AFTER_SPREAD: Final = 0.1

# 408 and 425 say so themselves; 429 is a throttle.
_TRANSIENT_BELOW_500: Final = frozenset({408, 425, 429})
# Not Implemented and HTTP Version Not Supported do not heal.
_PERMANENT_FROM_500: Final = frozenset({501, 505})

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SECONDS: Final = re.compile(r"[0-9]{1,64}(?:\.[0-9]{0,64})?")
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# Source: RFC 9110 section 5.6.7; a recipient must take all three.
_DATES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"[a-z]{{3}}, (?P<day>[0-9]{{2}}) (?P<month>[a-z]{{3}}) (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"[a-z]{{6,9}}, (?P<day>[0-9]{{2}})-(?P<month>[a-z]{{3}})-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)


def is_transient(status: int) -> bool:
    """Tell whether an answer of this HTTP status may be another one a moment later."""
    return status in _TRANSIENT_BELOW_500 or (500 <= status <= 599 and status not in _PERMANENT_FROM_500)


def delay(failures: int, *, retry_after: float | None, jitter: float) -> float:
    """Return how many seconds to wait before the next attempt.

    Doubles with each failure up to `MAX_DELAY`; half of it is fixed, half is chance, so that neither all
    clients come back together nor one of them at once.

    Args:
        failures: Failed attempts so far, 1 or more.
        retry_after: Seconds the server asked for; never waits less, but for the bound `MAX_RETRY_AFTER`.
        jitter: A random number in ``[0, 1)``.
    """
    doublings = min(max(failures, 1) - 1, 16)
    own = min(_FIRST_DELAY * (1 << doublings), MAX_DELAY) * (1 + jitter) / 2
    if retry_after is None:
        return own
    return max(own, min(retry_after * (1 + _RETRY_AFTER_SPREAD * jitter), MAX_RETRY_AFTER))


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait from now, at most `MAX_RETRY_AFTER`.

    Args:
        value: Seconds, whole or with a fraction, or one of HTTP's three forms of a date.
        now: Seconds since the epoch.

    Returns:
        ``None`` where there is no header or it makes no sense; 0 for a date that has passed.

    Source:
        RFC 9110 sections 10.2.3 and 5.6.7.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER)
    for pattern in _DATES:
        if match := pattern.fullmatch(text):
            moment = _epoch(match.groupdict(), now)
            return None if moment is None else min(max(moment - now, 0.0), MAX_RETRY_AFTER)
    return None


def _epoch(fields: dict[str, str], now: float) -> float | None:
    year = int(fields["year"])
    if len(fields["year"]) == 2:
        # RFC 9110: two digits that seem more than 50 years ahead are in the past.
        current = datetime.fromtimestamp(now, UTC).year
        year += current - current % 100
        year -= 100 if year > current + 50 else 0
    try:
        month = _MONTHS.index(fields["month"].lower()) + 1
        # A leap second is written as 60, which datetime does not know.
        second = min(int(fields["second"]), 59)
        time = datetime(year, month, int(fields["day"]), int(fields["hour"]), int(fields["minute"]), second, tzinfo=UTC)
    except ValueError:
        return None
    return time.timestamp()
