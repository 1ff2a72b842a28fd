"""Distinguishes a stalled connection from a slow one. Performs no I/O and reads no clock."""

from __future__ import annotations

import attrs

__all__ = ["StallDetector"]


@attrs.define
class StallDetector:
    """Counts bytes per window of waiting: a trickle is a stall, a slow but healthy link is not.

    Attributes:
        seconds: Length of the window. Only time spent waiting for the network counts, not the processing of bytes.
        least: Minimum bytes in a window.
    """

    seconds: float
    least: int
    _waited: float = attrs.field(default=0.0, init=False)
    _moved: int = attrs.field(default=0, init=False)

    def stall(self, waited: float, moved: int) -> str | None:
        """Record that ``moved`` bytes took ``waited`` seconds.

        Returns:
            The bytes of a window, as text, if there were too few; ``None`` while the connection is healthy.
        """
        self._waited += waited
        self._moved += moved
        if self._waited < self.seconds:
            return None
        waited, moved = self._waited, self._moved
        self._waited, self._moved = 0.0, 0
        return f"only {moved} bytes in {waited:.0f} s" if moved < self.least else None
