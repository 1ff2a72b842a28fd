"""Decide how many files and runs to request in one answer. Performs no I/O."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["MODEST_PAGE", "PageLimit"]

MODEST_PAGE: Final = 100
"""Files a page that every server accepts; requested if a larger page is refused."""

SMALLEST_PAGE: Final = 10
"""Files a page that are requested with retries only: if not even these are delivered, the server is down."""

_STEP: Final = 4
_PATIENCE: Final = 1
"""Retries of a modest page that is not delivered in time: that may be an outage, and of a larger one it is its size."""

_SURE: Final = 2
"""Pages that were not delivered in time, after which this server is not asked for as large a page again."""


@attrs.define
class PageLimit:
    """The largest page that one server delivers in time, as far as it is known.

    Attributes:
        largest: Files or runs of a page; ``None`` while every size was delivered.
    """

    largest: int | None = None
    _timed_out: int = 0

    def clip(self, size: int) -> int:
        """Return the size to request where ``size`` is wanted."""
        return size if self.largest is None else min(size, self.largest)

    def retries(self, size: int) -> int | None:
        """Return how often to request a page of this size again when it takes too long; ``None`` for as ever."""
        if size <= SMALLEST_PAGE:
            return None
        return _PATIENCE if size <= MODEST_PAGE else 0

    def record_timeout(self, size: int) -> int:
        """Take note that a page was not delivered in time, and return the size to request instead."""
        smaller = MODEST_PAGE if size > MODEST_PAGE else max(SMALLEST_PAGE, size // _STEP)
        self._timed_out += 1
        if self._timed_out >= _SURE:
            self.largest, self._timed_out = self.clip(smaller), 0
        return smaller
