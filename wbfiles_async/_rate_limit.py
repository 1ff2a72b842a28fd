"""Limits the rate of bytes or requests. Reads no clock and does not wait itself."""

from __future__ import annotations

import math
import threading
from typing import Final

__all__ = ["BURST_SECONDS", "SLOWEST", "RateLimit", "piece_bytes"]

# The burst after a pause: enough that a late wake-up costs no speed, too little to affect a link.
BURST_SECONDS: Final = 0.25

SLOWEST: Final = 256 << 10
"""Minimum bytes per second of a connection under a rate limit: stores drop slower ones."""

MOST_BYTES: Final = int(SLOWEST * BURST_SECONDS)
"""Maximum bytes of a piece: with one from each connection, all are still within a burst."""


class RateLimit:
    """A token bucket that all connections of a client draw from, whichever threads they are in.

    Received bytes are withdrawn, and the reader then waits before it receives more, so that TCP slows the sender
    down; a request is withdrawn before it is sent, and waits. Waits are in the order of withdrawals, so that nothing
    starves.

    Args:
        rate: Bytes or requests per second, above 0.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._paid_until = -math.inf
        self._lock = threading.Lock()

    def draw(self, count: int, now: float) -> float:
        """Withdraw received bytes, or a request to be sent.

        Args:
            count: Their number.
            now: Monotonic seconds, of the same clock at each call.

        Returns:
            Seconds to wait before receiving more, or before sending it.
        """
        with self._lock:
            self._paid_until = max(self._paid_until, now - BURST_SECONDS) + count / self._rate
            return max(0.0, self._paid_until - now)


def piece_bytes(rate: float | None) -> int | None:
    """Return the maximum bytes that a connection may receive at a time; ``None`` without a rate limit."""
    return None if rate is None else max(1, min(MOST_BYTES, int(rate * BURST_SECONDS)))
