from __future__ import annotations

import asyncio
from contextlib import aclosing

from wbfiles_async._graphql.prefetch import prefetch


async def test_next_page_is_requested_while_one_is_read() -> None:
    requested: list[int] = []
    second = asyncio.Event()

    async def request() -> int:
        requested.append(len(requested) + 1)
        if len(requested) == 2:
            second.set()
        return requested[-1]

    async def read(page: int) -> str:
        async with asyncio.timeout(5):
            await second.wait()
        return f"page {page}"

    async with aclosing(prefetch(request, read, lambda: len(requested) == 3)) as pages:
        assert [page async for page in pages] == ["page 1", "page 2", "page 3"]
    assert requested == [1, 2, 3]
