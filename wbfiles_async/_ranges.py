"""Byte ranges: ``[start, stop)`` everywhere."""

from __future__ import annotations

import attrs

__all__ = ["Range"]


@attrs.frozen
class Range:
    """Bytes ``[start, stop)`` of a file."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Length in bytes."""
        return self.stop - self.start
