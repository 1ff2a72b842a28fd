"""Measures whether short jobs in threads wait for the disk, or work. Only reads the clock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["LONG_WAIT", "MANY_THREADS", "Waiting"]

T = TypeVar("T")

MANY_THREADS: Final = 16
"""Threads for short jobs that mostly wait, such as on a network disk."""

LONG_WAIT: Final = 0.001
"""Seconds that a short job of a few system calls waits on a disk with latency, at 0.3 ms per call; else a tenth."""

_JUDGED: Final = 8
_LOCK_WAIT: Final = 0.0002
"""Seconds to reacquire Python's lock above which a job may have waited for the lock rather than the disk."""


class Waiting:
    """Whether short jobs spend their time waiting for the disk, so that several threads would do more of them.

    Waiting for Python's lock or for a processor looks the same. So a slow job while the lock is contended is
    ignored, and of the others the one that waited least counts, since a disk with latency delays them all.
    """

    def __init__(self) -> None:
        self._waits: deque[float] = deque(maxlen=_JUDGED)
        self.is_long = False

    def measure(self, job: Callable[[], T]) -> T:
        """Run a job, and record how long it waited. Any thread may call this."""
        began, worked = time.monotonic(), time.thread_time()
        try:
            return job()
        finally:
            waited = time.monotonic() - began - (time.thread_time() - worked)
            if waited < LONG_WAIT or not _lock_is_contended():
                self.record(waited)

    def record(self, seconds: float) -> None:
        """Record how long a job waited."""
        self._waits.append(seconds)
        if seconds < LONG_WAIT:
            self.is_long = False
        elif len(self._waits) == _JUDGED:
            self.is_long = min(self._waits.copy()) >= LONG_WAIT


def _lock_is_contended() -> bool:
    began = time.monotonic()
    time.sleep(0)
    return time.monotonic() - began > _LOCK_WAIT
