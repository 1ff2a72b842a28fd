"""Sends with injected clients and transports, and passes on a cancellation only once.

httpcore closes the connection of a cancelled request in a shield of anyio, which does not hold off a second
``task.cancel()``. A second one would leave the connection open and its place in the pool taken, permanently. It is
common: ``asyncio.gather`` in a cancelled scope of anyio cancels its tasks in every iteration of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import httpx

from wbfiles_async._threads import await_to_completion

__all__ = ["cancel_once"]

T = TypeVar("T")


async def cancel_once(request: Coroutine[Any, Any, httpx.Response]) -> httpx.Response:
    """Send a request, and return its response, whose body is protected in the same way."""
    sent = asyncio.ensure_future(request)
    try:
        response = await await_to_completion(sent, interrupt=sent.cancel)
    except asyncio.CancelledError:
        if sent.done() and not sent.cancelled() and sent.exception() is None:
            await _finished(sent.result().aclose())
        raise
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Body(response.stream)
    return response


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._stream)
        while (piece := await _cancelled_once(_next(pieces))) is not None:
            yield piece

    async def aclose(self) -> None:
        await _finished(self._stream.aclose())


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)


async def _cancelled_once(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    return await await_to_completion(task, interrupt=task.cancel)


async def _finished(work: Coroutine[Any, Any, T]) -> T:
    return await await_to_completion(asyncio.ensure_future(work))
