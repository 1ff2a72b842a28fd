"""How many requests one origin takes, learnt from its answers. Reads no clock, draws no chance, performs no I/O."""

from __future__ import annotations

import attrs

from wbfiles_async._backoff import delay

__all__ = ["ThrottleLimit"]


@attrs.define
class ThrottleLimit:
    """Requests that an origin takes at once, and the time until which it takes none.

    Additive increase, multiplicative decrease: an origin that throttles gets half as many at once, and one
    more after each round of successes. Answers to requests that were sent before the last decrease say nothing
    new: of sixteen that are throttled together the first one decides.

    Attributes:
        most: Requests at once if it has not throttled; see ``aim``.
        allowed: Requests at once now.
        under_way: Requests that hold a place now.
        resumes_at: When the origin takes requests again, in monotonic seconds.
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
        """Set how many requests at once are worth having. An origin that has throttled still gets one more a round."""
        if self.allowed >= min(self.most, most):
            self.allowed = most
        self.most = most

    def record_sent(self) -> int:
        """Number a request that is sent now; its outcome is reported with this number."""
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
            number: The request's, which has left its place.
            now: Monotonic seconds.
            retry_after: Seconds the origin asked to wait, where it said so.
            longest: Seconds of a pause that are believed.
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
