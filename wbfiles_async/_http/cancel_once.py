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

from wbfiles_async._http.errors import ClientClosedError
from wbfiles_async._threads import await_to_completion

__all__ = ["Closing", "cancel_once"]

T = TypeVar("T")


class Closing:
    """Ends the waits of one client for another, which stays open, when the first one is closed."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()
        self._is_closed = False

    async def bound(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something, until the client is closed.

        Raises:
            ClientClosedError: It is closed.
        """
        wait = asyncio.timeout(0.0 if self._is_closed else None)
        self._waits.add(wait)
        try:
            async with wait:
                return await work
        except TimeoutError:
            if not wait.expired():
                raise
            raise ClientClosedError("the client was closed") from None
        finally:
            self._waits.discard(wait)

    def close(self) -> None:
        """End all waits, and later ones as they begin."""
        self._is_closed = True
        waits, self._waits = self._waits, set()
        for wait in waits:
            wait.reschedule(asyncio.get_running_loop().time())


async def cancel_once(request: Coroutine[Any, Any, httpx.Response], closing: Closing | None = None) -> httpx.Response:
    """Send a request, and return its response, whose body is protected in the same way.

    Args:
        request: Sends it.
        closing: Ends it early, and the reading of the body.
    """
    sent = asyncio.ensure_future(request if closing is None else closing.bound(request))
    try:
        response = await await_to_completion(sent, interrupt=sent.cancel)
    except asyncio.CancelledError:
        if sent.done() and not sent.cancelled() and sent.exception() is None:
            await _finished(sent.result().aclose())
        raise
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Body(response.stream, closing)
    return response


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, closing: Closing | None) -> None:
        self._stream = stream
        self._closing = closing

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._stream)
        while (piece := await _cancelled_once(self._next(pieces))) is not None:
            yield piece

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        following = _next(pieces)
        return await (following if self._closing is None else self._closing.bound(following))

    async def aclose(self) -> None:
        await _finished(self._stream.aclose())


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)


async def _cancelled_once(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    return await await_to_completion(task, interrupt=task.cancel)


async def _finished(work: Coroutine[Any, Any, T]) -> T:
    return await await_to_completion(asyncio.ensure_future(work))
