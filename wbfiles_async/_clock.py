"""The clock of the package, a parameter so that tests can replace it."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable

import anyio
import attrs

__all__ = ["Clock"]


@attrs.frozen
class Clock:
    """Reads the time, waits, and draws random numbers.

    Attributes:
        monotonic: Returns monotonic seconds.
        sleep: Waits for this many seconds.
        jitter: Returns a random number in ``[0, 1)``.
        processor: Returns the seconds that processors have worked for this process.
        wall: Returns seconds since the epoch, to compare with dates that others state.
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    jitter: Callable[[], float] = random.random
    processor: Callable[[], float] = time.process_time
    wall: Callable[[], float] = time.time
