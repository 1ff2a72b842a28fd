"""Time, as the package reads it and waits for it; handed in, so that tests let it pass as they like."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable

import anyio
import attrs

__all__ = ["Clock"]


@attrs.frozen
class Clock:
    """Reads the time, waits, and draws chance.

    Attributes:
        monotonic: Returns seconds that never go back.
        sleep: Waits for so many seconds.
        jitter: Returns a random number in ``[0, 1)``.
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    jitter: Callable[[], float] = random.random
