"""The attempts and the time that one file or one call of the API may fail without progress."""

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
"""The number of consecutive failures that causes a warning: by then the caller has waited for a second."""

REFUND_BYTES: Final = 64 << 10
"""Bytes of progress that cancel earlier failures: a long transfer over a bad link continues while it progresses."""

HOPELESS_ATTEMPTS: Final = 6
"""Attempts for failures that rarely pass, such as a port without a listener: three seconds, for a server that is
starting."""


class RetryBudget:
    """The budget of one file or call, shared by all layers.

    Concurrent requests often fail together, from one cause, which counts once. So a request records the ``round`` in
    which it started, and its failure is free if another of that round has been counted.

    Args:
        options: States ``attempts`` and ``time_budget``.
        clock: The time.
        failing_since: When the first failure was, in monotonic seconds, if it was before these requests.

    Attributes:
        round: The number of counted failures.
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
        """When the first of the consecutive failures was, in monotonic seconds."""
        return self._since

    def record_progress(self, count: int) -> None:
        """Record that bytes arrived."""
        if self._failures:
            self._moved += count
            if self._moved >= REFUND_BYTES:
                self._failures = self._moved = 0

    def begin_again(self, attempts: int) -> None:
        """Allow this many more attempts, after another way has been found."""
        self.round += 1
        self._attempts = min(self._attempts, attempts)
        self._failures = self._lost = self._moved = 0

    def exclude_queue_time(self, began: float) -> None:
        """Exclude the time since ``began`` (monotonic seconds), in which the file waited because of others.

        Waits because of its own failures count.
        """
        now = self._clock.monotonic()
        if self._failures:
            self._since = min(now, self._since + max(0.0, now - max(began, self._resume_at)))

    async def spend(
        self, failure: RequestFailed, *, round: int, lost: bool = False, pause: float | None = None
    ) -> None:
        """Wait before the next attempt.

        Args:
            failure: The failure.
            round: The value of ``round`` when the failed request started.
            lost: Whether all received bytes are lost, and so were no progress.
            pause: Seconds without requests to the throttling origin. Not waited for here, since all requests wait
                for it together.

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
                attempts = "one attempt" if self._failures == 1 else f"{self._failures} attempts"
                failure.error.add_note(f"Gave up after {attempts} in {now - self._since:.1f} s.")
                raise failure.error from failure.__cause__
            level = logging.WARNING if self._failures == LOUD_FAILURES else logging.INFO
            log.log(level, "%s Trying again (%d of %d).", failure.error, self._failures + 1, most)
        if pause is None:
            await self._clock.sleep(max(0.0, self._resume_at - now))
