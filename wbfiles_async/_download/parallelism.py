"""Adapts the number of connections and the part size of a large file to the throughput.

Reads no clock, performs no I/O.
"""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["ParallelismController"]

# Short intervals at first, then longer ones, since a busy event loop counts arrived bytes late.
_FIRST_LOOK, _LONGEST_LOOK = 0.015, 0.25  # seconds

_SLOW_LOOKS: Final = 2
"""Consecutive slow checks until the first growth; later, one is enough."""

_FAST: Final = 100_000_000
"""Bytes per second of a connection above which more connections gain nothing, since the machine is the limit."""

_FEW: Final = 16
_FACTOR, _FACTOR_OF_MANY = 4, 2
"""Growth factors: below ``_FEW`` connections, and from there on. Too few connections cost more than a few too many. A
store whose latency exceeds the first interval always gets the larger factor, and at once at least ``_FEW`` connections,
since each step takes as long as the latency."""

_WORTH: Final = 1.25
"""Minimum factor of the rate since the last growth to add further connections."""

_LONGEST: Final = 4
"""Maximum factor of a part's length: on a fast connection, a part still takes less than a second."""


@attrs.define
class ParallelismController:
    """The number of connections of one file: few at first, more while each is slow and the throughput grows.

    Attributes:
        wanted: The current target.
        most: The maximum.
        part_factor: Length of the next part relative to the usual one. It is larger on fast connections, which could
            transfer more bytes in the time that a request costs.
        look: Seconds until the next check.
    """

    wanted: int
    most: int
    part_factor: int = attrs.field(default=1, init=False)
    look: float = attrs.field(default=_FIRST_LOOK, init=False)
    _rate_before: float = attrs.field(default=0.0, init=False)
    _slow_looks: int = attrs.field(default=0, init=False)
    _settling: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.wanted = min(self.wanted, self.most)

    def adapt(self, rate: float, answer_seconds: float = 0.0) -> None:
        """Adapt the number of connections and the part length to the measured rate.

        Args:
            rate: Bytes per second of all connections since the last check.
            answer_seconds: The store's latency in seconds; 0 if unknown.
        """
        if self._settling:  # the new connections have just started
            self._settling, self.look = False, _FIRST_LOOK
            return
        is_fast = rate >= self.wanted * _FAST
        self.part_factor = min(2 * self.part_factor, _LONGEST) if is_fast else 1
        if is_fast or rate < _WORTH * self._rate_before or self.wanted == self.most:
            self._slow_looks, self.look = 0, min(2 * self.look, _LONGEST_LOOK)
            return
        self._slow_looks += 1
        if self._slow_looks == _SLOW_LOOKS:
            is_distant = answer_seconds > _FIRST_LOOK
            more = self.wanted * (_FACTOR if is_distant or self.wanted < _FEW else _FACTOR_OF_MANY)
            if is_distant:
                more = max(more, _FEW)
            self.wanted, self._rate_before = min(more, self.most), rate
            # One check is enough after the new connections have started: it shows whether they increased the rate.
            self._settling, self._slow_looks, self.look = True, _SLOW_LOOKS - 1, max(_FIRST_LOOK, answer_seconds)
