"""Keep bytes, or requests, to a rate. Reads no clock and waits for nothing itself."""

from __future__ import annotations

import math
import threading
from typing import Final

__all__ = ["BURST_SECONDS", "RateLimit"]

# What may arrive at once after a pause: enough that a late wake-up costs no speed, too little for a link to notice.
BURST_SECONDS: Final = 0.25


class RateLimit:
    """A token bucket that all connections of a client draw from, whichever threads they are in.

    Bytes are drawn once they have arrived, and the reader then waits before it receives more, so that TCP slows the
    sender down; a request is drawn before it is sent, and waits. Waits follow each other in the order of drawing, so
    that nobody starves.

    Args:
        rate: Bytes or requests a second, above 0.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._paid_until = -math.inf
        self._lock = threading.Lock()

    def draw(self, count: int, now: float) -> float:
        """Account for bytes that arrived, or for a request that is to be sent.

        Args:
            count: How many.
            now: Seconds of a clock that never goes back, the same one at each call.

        Returns:
            Seconds to wait before more is taken, or it is sent.
        """
        with self._lock:
            self._paid_until = max(self._paid_until, now - BURST_SECONDS) + count / self._rate
            return max(0.0, self._paid_until - now)
