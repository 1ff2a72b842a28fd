"""Tell a stalled connection from a slow one. Performs no I/O and reads no clock."""

from __future__ import annotations

import attrs

__all__ = ["LowSpeed"]


@attrs.define
class LowSpeed:
    """Bytes per window of waiting: a trickle is a stall, a slow but healthy link is none.

    Attributes:
        seconds: Length of the window. Only waiting for the network counts, not what is done with the bytes.
        least: Bytes that a window must bring.
    """

    seconds: float
    least: int
    _waited: float = attrs.field(default=0.0, init=False)
    _moved: int = attrs.field(default=0, init=False)

    def stall(self, waited: float, moved: int) -> str | None:
        """Note that it took ``waited`` seconds until ``moved`` bytes came.

        Returns:
            What a window that brought too little brought, for people; ``None`` while all is well.
        """
        self._waited += waited
        self._moved += moved
        if self._waited < self.seconds:
            return None
        waited, moved = self._waited, self._moved
        self._waited, self._moved = 0.0, 0
        return f"only {moved} bytes in {waited:.0f} s" if moved < self.least else None
