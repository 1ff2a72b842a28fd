"""Determines the page size of listings. Performs no I/O."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["MODEST_PAGE", "PageLimit"]

MODEST_PAGE: Final = 100
"""A page size that every server accepts; requested if a larger page is refused."""

SMALLEST_PAGE: Final = 10
"""Minimum page size: if not even this is delivered, the server is down."""

_STEP: Final = 4
_RETRIES: Final = 1
"""Retries of a moderate page that is not delivered in time, which may be an outage; larger ones shrink at once."""

_SURE: Final = 2
"""Number of pages not delivered in time after which the smaller size is kept for this server."""


@attrs.define
class PageLimit:
    """The largest page that a server delivers in time, as far as known.

    Attributes:
        largest: Files or runs per page; ``None`` while every size was delivered.
    """

    largest: int | None = None
    _timed_out: int = 0

    def clip(self, size: int) -> int:
        """Return the page size to request for ``size``."""
        return size if self.largest is None else min(size, self.largest)

    def retries(self, size: int) -> int | None:
        """Return the retries of a page of this size that takes too long; ``None`` for the usual number."""
        if size <= SMALLEST_PAGE:
            return None
        return _RETRIES if size <= MODEST_PAGE else 0

    def record_timeout(self, size: int) -> int:
        """Record that a page was not delivered in time, and return the size to request instead."""
        smaller = MODEST_PAGE if size > MODEST_PAGE else max(SMALLEST_PAGE, size // _STEP)
        self._timed_out += 1
        if self._timed_out >= _SURE:
            self.largest, self._timed_out = self.clip(smaller), 0
        return smaller
