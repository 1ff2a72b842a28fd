"""Limits the requests to an origin by its throttling. Reads no clock and no random numbers, performs no I/O."""

from __future__ import annotations

import attrs

from wbfiles_async._backoff import delay

__all__ = ["ThrottleLimit"]


@attrs.define
class ThrottleLimit:
    """The concurrent requests that an origin accepts, and the time until which it accepts none.

    Additive increase, multiplicative decrease: an origin that throttles gets half as many concurrent requests, and
    one more after each round of successes. Responses to requests sent before the last decrease are ignored: of
    sixteen that are throttled together only the first one counts.

    Attributes:
        most: Maximum concurrent requests without throttling; see ``aim``.
        allowed: Concurrent requests now.
        under_way: Requests that hold a place now.
        resumes_at: When the origin accepts requests again, in monotonic seconds.
    """

    most: int
    allowed: int = attrs.field(init=False)
    under_way: int = attrs.field(default=0, init=False)
    resumes_at: float = attrs.field(default=0.0, init=False)
    _sent: int = attrs.field(default=0, init=False)
    _sent_before_decrease: int = attrs.field(default=0, init=False)
    _throttled_in_a_row: int = attrs.field(default=0, init=False)
    _successes_since_change: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.allowed = self.most

    @property
    def has_room(self) -> bool:
        """Whether another request may have a place."""
        return self.under_way < self.allowed

    def aim(self, most: int) -> None:
        """Set the maximum of concurrent requests. An origin that has throttled still grows by one per round."""
        if self.allowed >= min(self.most, most):
            self.allowed = most
        self.most = most

    def record_sent(self) -> int:
        """Return the number of a new request, with which its outcome is recorded."""
        self._sent += 1
        return self._sent

    def record_success(self, number: int) -> None:
        """Record that a request succeeded."""
        if number > self._sent_before_decrease:
            self._throttled_in_a_row = 0
        if self.allowed < self.most:
            self._successes_since_change += 1
            if self._successes_since_change >= self.allowed:
                self._change(self.allowed + 1)

    def record_throttled(
        self, number: int, *, now: float, retry_after: float | None, longest: float, jitter: float
    ) -> None:
        """Record that the origin asked to slow down.

        Args:
            number: The number of the request, which has released its place.
            now: Monotonic seconds.
            retry_after: Seconds to wait, if stated.
            longest: Maximum seconds of a pause.
            jitter: A random number in ``[0, 1)``.
        """
        if number > self._sent_before_decrease:
            self._sent_before_decrease = self._sent
            self._throttled_in_a_row += 1
            self._change(max(1, min(self.allowed, self.under_way + 1) // 2))
        pause = delay(self._throttled_in_a_row, retry_after=retry_after, jitter=jitter)
        self.resumes_at = max(self.resumes_at, now + min(pause, longest))

    def _change(self, allowed: int) -> None:
        self.allowed = allowed
        self._successes_since_change = 0
