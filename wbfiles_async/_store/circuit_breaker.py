"""Decides from failed files whether requests to an origin are worth sending. Reads no clock, performs no I/O."""

from __future__ import annotations

import math
from typing import Final

import attrs

__all__ = ["FILES", "CircuitBreaker"]

FILES: Final = 8
"""Number of consecutive files that used up all their attempts, after which the origin counts as down."""

# A restarting store is back within seconds; one that stays down is probed once a minute.
_FIRST_PROBE: Final = 5.0  # seconds
_LONGEST_PROBE: Final = 60.0  # seconds


@attrs.define
class CircuitBreaker:
    """Circuit breaker of one origin: avoids requests that would fail like those before.

    It opens when `FILES` different consecutive files have failed, and no request succeeded while any of them was
    failing. While it is open, an occasional request probes whether the origin is back; the first success closes it.
    """

    _exhausted: set[object] = attrs.field(factory=set, init=False)
    _succeeded_at: float = attrs.field(default=-math.inf, init=False)
    _probe_at: float | None = attrs.field(default=None, init=False)
    _probes: int = attrs.field(default=0, init=False)

    @property
    def is_open(self) -> bool:
        """Whether the origin counts as down."""
        return self._probe_at is not None

    def seconds_until_probe(self, now: float) -> float:
        """Return the seconds from ``now`` (monotonic) until a request may be sent; 0 for immediately."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - now)

    def record_sent(self, now: float) -> None:
        """Record that a request is sent; while the circuit is open it is the probe, and others wait for the next."""
        if self._probe_at is not None:
            self._probes += 1
            self._probe_at = now + min(_FIRST_PROBE * 2 ** min(self._probes, 10), _LONGEST_PROBE)

    def record_success(self, now: float) -> None:
        """Record that a request succeeded, at ``now`` (monotonic seconds)."""
        self._succeeded_at = now
        if self._exhausted:
            self._exhausted.clear()
        self._probe_at = None
        self._probes = 0

    def trip(self, now: float) -> None:
        """Record that the origin is down, at ``now`` (monotonic seconds)."""
        if self._probe_at is None:
            self._probe_at = now + _FIRST_PROBE

    def record_exhausted(self, file: object, now: float, *, since: float) -> bool:
        """Record that a file used up all its attempts.

        Args:
            file: Identifies it; the same file counts once.
            now: Monotonic seconds.
            since: When it began to fail.

        Returns:
            Whether this opened the circuit.
        """
        if self._probe_at is not None or self._succeeded_at > since:
            return False
        self._exhausted.add(file)
        if len(self._exhausted) < FILES:
            return False
        self._probe_at = now + _FIRST_PROBE
        return True
