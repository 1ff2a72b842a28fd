"""How often, and for how long, one file or one call of the API may fail without progress."""

from __future__ import annotations

import logging
from typing import Final

from wbfiles_async._backoff import delay
from wbfiles_async._clock import Clock
from wbfiles_async._options import TransferOptions
from wbfiles_async._retry.failure import RequestFailed

__all__ = ["RetryBudget"]

log = logging.getLogger(__name__)

LOUD_FAILURES: Final = 4
"""The failure in a row that is worth a warning: by then the caller has been waiting for a second."""

REFUND_BYTES: Final = 64 << 10
"""Bytes whose arrival cancels earlier failures: a long transfer over a bad link is retried while it makes progress."""

HOPELESS_ATTEMPTS: Final = 6
"""Attempts at what hardly ever heals, such as a port on which nobody listens: three seconds, for a server that is just
starting."""


class RetryBudget:
    """The budget of one file or call: one for all layers.

    Concurrent requests often fail together, from one cause; that counts once. So a request
    remembers the ``round`` it began in, and its failure is free if another of that round was counted already.

    Args:
        options: States ``attempts`` and ``time_budget``.
        clock: The time.
        failing_since: When the first failure was, in monotonic seconds, if that was before the first request of these.

    Attributes:
        round: Counts the failures that counted.
    """

    def __init__(self, options: TransferOptions, clock: Clock, failing_since: float | None = None) -> None:
        self.round = 0
        self._clock = clock
        self._attempts = options.attempts
        self._seconds = options.time_budget
        self._failures = 0
        self._lost = 0
        self._since = 0.0
        self._failed_before = failing_since
        self._resume_at = 0.0
        self._moved = 0

    @property
    def failing_since(self) -> float:
        """When the first of the failures in a row was, in monotonic seconds."""
        return self._since

    def record_progress(self, count: int) -> None:
        """Record that bytes arrived."""
        if self._failures:
            self._moved += count
            if self._moved >= REFUND_BYTES:
                self._failures = self._moved = 0

    def begin_again(self, attempts: int) -> None:
        """Allow so many more attempts, another way having been found."""
        self.round += 1
        self._attempts = min(self._attempts, attempts)
        self._failures = self._lost = self._moved = 0

    def exclude_queue_time(self, began: float) -> None:
        """Leave out the time since ``began`` (monotonic seconds), in which the file waited because of others.

        What it had to wait because of its own failure counts.
        """
        now = self._clock.monotonic()
        if self._failures:
            self._since = min(now, self._since + max(0.0, now - max(began, self._resume_at)))

    async def spend(
        self, failure: RequestFailed, *, round: int, lost: bool = False, pause: float | None = None
    ) -> None:
        """Wait before the next attempt.

        Args:
            failure: What went wrong.
            round: The value of ``round`` when the failed request began.
            lost: Whether all that arrived must be fetched again, so that it was no progress, however much it was.
            pause: Seconds in which no request is sent to the origin, since it throttles. Not waited for here: all
                requests wait for its end together.

        Raises:
            WBFilesError: The failure's own error, if no attempt is left or the wait would be too long.
        """
        now = self._clock.monotonic()
        if round == self.round:
            self.round += 1
            self._lost += lost
            self._failures = max(self._failures + 1, self._lost)
            self._moved = 0
            if self._failures == 1:
                self._since = now if self._failed_before is None else self._failed_before
            wait = delay(self._failures, retry_after=failure.retry_after, jitter=self._clock.jitter())
            self._resume_at = now + (wait if pause is None else max(pause, failure.retry_after or 0.0))
            most = min(self._attempts, HOPELESS_ATTEMPTS) if failure.hopeless else self._attempts
            if self._failures >= most or self._resume_at > self._since + self._seconds:
                tries = "one try" if self._failures == 1 else f"{self._failures} tries"
                failure.error.add_note(f"Gave up after {tries} in {now - self._since:.1f} s.")
                raise failure.error from failure.__cause__
            level = logging.WARNING if self._failures == LOUD_FAILURES else logging.INFO
            log.log(level, "%s Trying again (%d of %d).", failure.error, self._failures + 1, most)
        if pause is None:
            await self._clock.sleep(max(0.0, self._resume_at - now))
