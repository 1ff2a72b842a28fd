"""Prefetches pages. Independent of what is listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import anyio

Answer = TypeVar("Answer")
Items = TypeVar("Items")


async def prefetch(
    request: Callable[[], Awaitable[Answer]], read: Callable[[Answer], Awaitable[Items]], is_done: Callable[[], bool]
) -> AsyncGenerator[Items]:
    """Yield page after page; exactly one page is prefetched, already while the one before it is read.

    Args:
        request: Requests the next page.
        read: Returns the contents of a page.
        is_done: Returns whether the page received last is the last of all.
    """
    under_way = asyncio.ensure_future(request())
    try:
        while True:
            answer = await under_way
            if is_done():
                yield await read(answer)
                return
            under_way = asyncio.ensure_future(request())
            yield await read(answer)
    finally:
        under_way.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(under_way, return_exceptions=True)
