"""Response and request bodies over any transport, with a timeout for each wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Self

import httpx

from wbfiles_async._http.extensions import StallLimit
from wbfiles_async._http.reports import ByteReports
from wbfiles_async._http.stall import StallDetector

__all__ = ["RequestBody", "pieces_of"]


async def pieces_of(response: httpx.Response, limit: StallLimit) -> AsyncGenerator[bytes]:
    """Yield the body as sent, not decoded.

    A piece is valid until the next one is requested. Some transports never time out if bytes arrive without a body,
    as in the framing of chunks.

    Raises:
        httpx.TransportError: The connection failed, or stalled.
    """
    # Not aiter_raw, which refuses a body that is complete with the response, as from mocks.
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
        waited = time.monotonic() - since  # for the network, not for the processing of bytes
        yield piece
        if reason := detector.stall(waited, len(piece)):
            raise httpx.ReadTimeout(reason)


class RequestBody(httpx.AsyncByteStream):
    """The body of a request, in pieces.

    Each iteration starts again, for another connection. Sending a piece has a time limit, preparing the next one has
    none.

    Args:
        length: Its length in bytes, which the pieces have together.
        pieces: Returns the pieces. Each is valid until the next one is requested.
        stall: The minimum that a connection must accept.
        on_sent: Called with the number of further bytes that a connection has accepted; negative if sent again.
        blocks: Returns the same body for a transport that sends it in a worker thread: iterated there, it may block.
            ``None``, the default, if it cannot be sent so.

    Attributes:
        length: Its length in bytes.
        stall: The minimum that a connection must accept.
        blocks: The same as the argument.
        sent: Bytes of the pieces that a connection has accepted in the last iteration.
        on_wait: Called with whether it waits for the network from now on.
    """

    def __init__(
        self,
        length: int,
        pieces: Callable[[], AsyncGenerator[bytes | memoryview]],
        stall: StallLimit,
        *,
        on_sent: Callable[[int], None],
        blocks: Callable[[], Generator[bytes | memoryview]] | None = None,
    ) -> None:
        self.length = length
        self.stall = stall
        self.blocks = blocks
        self.sent = 0
        self.on_wait: Callable[[bool], None] = lambda _: None
        self._on_sent = on_sent
        self._make_pieces = pieces
        self._pieces: AsyncGenerator[bytes | memoryview] | None = None
        self._last = 0

    @property
    def is_sent(self) -> bool:
        """Whether a connection has accepted all of it."""
        return self.sent == self.length

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._begin()
        return _Sent(self)  # not a generator, which would be closed in another task

    @contextmanager
    def sent_in_thread(self) -> Iterator[Callable[[int], None]]:
        """Send the blocks from a thread, which calls the returned function with the length of each block sent."""
        self._begin()
        self.on_wait(False)
        reports = ByteReports(self._record)
        try:

            def on_sent(count: int) -> None:
                reports.check()
                reports.add(count)

            yield on_sent
        except BaseException:
            reports.abandon()
            raise
        reports.end()
        reports.check()
        self.on_wait(True)

    def _begin(self) -> None:
        if self.sent:
            self._record(-self.sent)
        self._last = 0

    def _record(self, count: int) -> None:
        self.sent += count
        self._on_sent(count)

    async def next(self) -> bytes | memoryview | None:
        """Return the next piece after the previous one has been accepted; ``None`` at the end."""
        self.on_wait(False)
        last, self._last = self._last, 0
        if last:
            self._record(last)
        if self._pieces is None:
            self._pieces = self._make_pieces()
        piece = await anext(self._pieces, None)
        self._last = 0 if piece is None else len(piece)
        self.on_wait(True)
        return piece

    async def aclose(self) -> None:
        """End the pieces."""
        pieces, self._pieces = self._pieces, None
        if pieces is not None:
            await pieces.aclose()


class _Sent:
    """One transmission of a body."""

    def __init__(self, body: RequestBody) -> None:
        self._body = body
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._begun = True
            await self._body.aclose()
        piece = await self._body.next()
        if piece is None:
            raise StopAsyncIteration
        return piece  # type: ignore[return-value]  # views do as well for every transport
