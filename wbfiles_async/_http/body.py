"""Reads the body of a response, whichever transport it comes from, with a limit on each wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import httpx

from wbfiles_async._http.extensions import StallLimit
from wbfiles_async._http.stall import StallDetector

__all__ = ["pieces_of"]


async def pieces_of(response: httpx.Response, limit: StallLimit) -> AsyncGenerator[bytes]:
    """Yield the body as it was sent, not decoded. A piece is valid until the next one is requested.

    Not every transport gives up by itself where bytes arrive and no body does, as within the framing of chunks.

    Raises:
        httpx.TransportError: The connection failed, or stalled.
    """
    # Not aiter_raw: it refuses a body that is complete with the response, as mocks send it.
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101
    pieces, detector = aiter(response.stream), StallDetector(limit.seconds, limit.least)
    while True:
        since = time.monotonic()
        try:
            async with asyncio.timeout(limit.seconds):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise httpx.ReadTimeout("no bytes in time") from None
        if piece is None:
            return
        waited = time.monotonic() - since  # for the network, not for what is done with the bytes
        yield piece
        if reason := detector.stall(waited, len(piece)):
            raise httpx.ReadTimeout(reason)
