"""Pages that are requested while the ones before are used. Knows nothing of what is listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import anyio

Page = TypeVar("Page")
Items = TypeVar("Items")


async def prefetch(
    ask: Callable[[], Awaitable[Page]], accept: Callable[[Page], Items], is_done: Callable[[], bool]
) -> AsyncGenerator[Items]:
    """Yield page after page; the next one is requested while one is used, and no more than that one.

    Args:
        ask: Requests the next page.
        accept: Takes a page, so that ``ask`` requests the one after it, and returns what it holds.
        is_done: Returns whether the page that was accepted is the last.
    """
    under_way = asyncio.ensure_future(ask())
    try:
        while True:
            items = accept(await under_way)
            if is_done():
                yield items
                return
            under_way = asyncio.ensure_future(ask())
            yield items
    finally:
        under_way.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(under_way, return_exceptions=True)
