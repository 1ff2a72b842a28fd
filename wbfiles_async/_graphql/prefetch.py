"""Prefetches pages. Independent of what is listed."""

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
    """Yield page after page; exactly one page is prefetched.

    Args:
        ask: Requests the next page.
        accept: Accepts a page, so that ``ask`` requests the next one, and returns its contents.
        is_done: Returns whether the accepted page is the last.
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
