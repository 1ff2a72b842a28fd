"""Decide what to retry and how long to wait before. Reads no clock and no random numbers."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["MAX_DELAY", "MAX_RETRY_AFTER", "delay", "is_transient", "parse_retry_after"]

# Most faults are a lost connection or a busy server, and pass at once.
_FIRST_DELAY: Final = 0.1  # seconds
# Longer waits only add idle time once a store is back.
MAX_DELAY: Final = 30.0  # seconds
# A server may ask for more than our own back-off, but not for an hour.
MAX_RETRY_AFTER: Final = 300.0  # seconds
# Spreads the clients that all received the same time.
_RETRY_AFTER_SPREAD: Final = 0.1

# 408 and 425 by definition; 429 is throttling.
_TRANSIENT_BELOW_500: Final = frozenset({408, 425, 429})
# Not Implemented and HTTP Version Not Supported are permanent.
_PERMANENT_FROM_500: Final = frozenset({501, 505})

_SECONDS: Final = re.compile(r"[0-9]{1,64}(?:\.[0-9]{0,64})?")
# The longest of HTTP's three forms has 33.
_LONGEST_DATE: Final = 64  # characters


def is_transient(status: int) -> bool:
    """Return whether a response of this HTTP status may differ on a retry."""
    return status in _TRANSIENT_BELOW_500 or (500 <= status <= 599 and status not in _PERMANENT_FROM_500)


def delay(failures: int, *, retry_after: float | None, jitter: float) -> float:
    """Return how many seconds to wait before the next attempt.

    Doubles with each failure up to `MAX_DELAY`. Half of it is random, so that clients do not all return together,
    and none returns at once.

    Args:
        failures: Failed attempts so far, 1 or more.
        retry_after: Seconds requested by the server: the minimum, up to `MAX_RETRY_AFTER`.
        jitter: A random number in ``[0, 1)``.
    """
    doublings = min(max(failures, 1) - 1, 16)
    own = min(_FIRST_DELAY * (1 << doublings), MAX_DELAY) * (1 + jitter) / 2
    if retry_after is None:
        return own
    return max(own, min(retry_after * (1 + _RETRY_AFTER_SPREAD * jitter), MAX_RETRY_AFTER))


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds to wait according to a ``Retry-After`` header, at most `MAX_RETRY_AFTER`.

    Args:
        value: Seconds, an integer or a decimal number, or one of HTTP's three forms of a date.
        now: Seconds since the epoch.

    Returns:
        ``None`` if the header is missing or invalid; 0 for a past date.

    Source:
        RFC 9110 sections 10.2.3 and 5.6.7.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER)
    moment = _epoch(text)
    return None if moment is None else min(max(moment - now, 0.0), MAX_RETRY_AFTER)


def _epoch(text: str) -> float | None:
    """Parse a date in any form of HTTP, or of mail (other zones, one-digit days), which some servers send."""
    try:
        moment = parsedate_to_datetime(text[:_LONGEST_DATE])
        # The form of C's asctime() has no zone, and means UTC.
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
