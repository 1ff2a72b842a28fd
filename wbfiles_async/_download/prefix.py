"""Tracks the contiguous prefix of a file that is written in pieces. Performs no I/O."""

from __future__ import annotations

import attrs


@attrs.define
class ContiguousPrefix:
    """The contiguous prefix of a file that is written in pieces, in any order.

    Attributes:
        stop: All bytes ``[0, stop)`` are written.
    """

    stop: int = 0
    _ahead: dict[int, int] = attrs.field(factory=dict)

    def written(self, start: int, stop: int) -> bool:
        """Record that ``[start, stop)`` is written; pieces do not overlap.

        Returns:
            Whether the prefix grew.
        """
        self._ahead[start] = stop
        before = self.stop
        while (reached := self._ahead.pop(self.stop, None)) is not None:
            self.stop = reached
        return self.stop > before
