"""Starts a few of several consecutive listings ahead. Independent of what is listed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Final, Generic, TypeVar

import anyio

__all__ = ["Lookahead"]

LISTINGS_AHEAD: Final = 4
"""Concurrent listings: enough for a distant API, few enough not to flood one."""

Items = TypeVar("Items")


class Lookahead(Generic[Items]):
    """Iterates over listings one after the other, and requests the first pages of the next few.

    Args:
        listings: The listings; each starts when it is one of the next few.
    """

    def __init__(self, listings: Iterable[AsyncGenerator[Items]]) -> None:
        self._waiting = iter(listings)
        self._begun: deque[_Begun[Items]] = deque()

    async def next(self) -> AsyncGenerator[Items]:
        """Iterate over the pages of the next listing."""
        while len(self._begun) < LISTINGS_AHEAD and (listing := next(self._waiting, None)) is not None:
            self._begun.append(_Begun(listing))
        begun = self._begun[0]
        try:
            page = await begun.first
            while page is not None:
                yield page
                page = await anext(begun.pages, None)
        finally:
            self._begun.popleft()
            await begun.aclose()

    async def aclose(self) -> None:
        """End the started listings."""
        while self._begun:
            await self._begun.popleft().aclose()


class _Begun(Generic[Items]):
    """A listing whose first page is requested.

    Attributes:
        pages: The listing.
        first: Its first page; ``None`` if it has none.
    """

    def __init__(self, pages: AsyncGenerator[Items]) -> None:
        self.pages = pages
        self.first: asyncio.Future[Items | None] = asyncio.ensure_future(anext(pages, None))

    async def aclose(self) -> None:
        """End it, and cancel a request in progress."""
        self.first.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(self.first, return_exceptions=True)
            await self.pages.aclose()
