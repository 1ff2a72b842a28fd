"""Tracks waiting requests, so that batches, which keep their slot, give way in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from wbfiles_async._clock import Clock

__all__ = ["Turns"]

WAIT_SECONDS: Final = 1.0
"""Seconds that a request waits before a batch ends for it: starting another batch costs as much as ten small files."""


@attrs.define(eq=False)
class _Wait:
    """A waiting request.

    Attributes:
        since: The start of the wait, in monotonic seconds.
        served: Whether it no longer waits, or a batch gives way to it.
    """

    since: float
    served: bool = False


class Turns:
    """The waiting requests of one client.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[_Wait] = deque()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait inside."""
        wait = _Wait(self._clock.monotonic())
        self._waiting.append(wait)
        try:
            yield
        finally:
            wait.served = True
            while self._waiting and self._waiting[0].served:
                self._waiting.popleft()

    def give_way(self) -> bool:
        """Return whether the caller must give way to a request that has waited too long. Any thread may call this."""
        try:
            first = self._waiting[0]
        except IndexError:
            return False
        if first.served or self._clock.monotonic() - first.since < WAIT_SECONDS:
            return False
        first.served = True  # by the caller; another batch gives way to the next one
        return True
