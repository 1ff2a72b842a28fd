"""One request and its response over a connection, awaited in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Final

import anyio
import httpx

from wbfiles_async._http.connection import CUT_SHORT, Connection
from wbfiles_async._http.http1 import ChunkedBody, MalformedError, ResponseHead

__all__ = ["LARGE_BUFFER", "Exchange"]

LARGE_BUFFER: Final = 1 << 20
"""Bytes of the buffer for a large body: smaller ones cost more calls, larger ones exceed the processor's caches."""

CHUNKS_BYTES: Final = 64 << 10
"""Bytes of a chunked body that are decoded at a time: a chunk may hold one byte, and the loop must not be blocked."""

GATHER_SECONDS: Final = 0.05
"""Seconds that the bytes of a slow connection wait for more to arrive."""


class Exchange:
    """One exchange over a connection.

    Args:
        connection: Idle, or in the middle of a response whose body has not been read.
        read_timeout: Seconds within which the head must be complete, and between two pieces of the body.

    Attributes:
        connection: The connection. Whoever uses it closes it when the exchange has failed.
        answer_seconds: Seconds from the request to the complete head of its response; ``None`` before.
    """

    def __init__(self, connection: Connection, read_timeout: float) -> None:
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._read_timeout = read_timeout
        self.answer_seconds: float | None = None

    async def send(self, head: bytes, body: AsyncIterable[bytes] | None = None, *, chunked: bool = False) -> None:
        """Send a request.

        Args:
            head: Its head.
            body: Its body.
            chunked: Whether the head announces a chunked body.

        Raises:
            httpx.WriteTimeout: The server took nothing in time.
        """
        self.connection.begin_exchange()
        await self._send(head)
        if body is not None:
            async for piece in body:
                if piece:
                    await self._send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                await self._send(b"0\r\n\r\n")

    async def _send(self, data: bytes) -> None:
        connection, rest = self.connection, memoryview(data)
        while (rest := rest[connection.send(rest) :]) and not connection.has_ended:
            with anyio.move_on_after(self._read_timeout) as scope:
                await anyio.wait_writable(connection.socket)
            if scope.cancelled_caught:
                raise httpx.WriteTimeout("nothing could be sent in time")

    async def receive_head(self, method: bytes = b"GET") -> ResponseHead:
        """Receive the head of the response. Informational responses do not extend the time it may take.

        Raises:
            StaleConnectionError: Nothing was lost; send the request again on a new connection.
            httpx.TransportError: The exchange failed.
        """
        connection, began = self.connection, self._loop.time()
        deadline = began + self._read_timeout
        while (head := connection.read_head(method)) is None:
            wanted = connection.held + 1  # no more of TLS than that: the loop decrypts no large body
            await self._wait(wanted, wanted, deadline - self._loop.time())
        self.answer_seconds = self._loop.time() - began
        return head

    async def body(self, head: ResponseHead) -> AsyncGenerator[memoryview | bytes]:
        """Receive the body. A piece is valid until the next one is requested.

        Raises:
            httpx.TransportError: The connection failed, or the body ended before its end.
        """
        connection = self.connection
        if head.chunked:
            chunks = ChunkedBody(head)
            while not chunks.complete:
                arrived = await self._next(None, CHUNKS_BYTES)
                if not arrived:
                    raise connection.broken(CUT_SHORT)
                try:
                    piece = chunks.feed(arrived)
                except MalformedError as error:
                    raise connection.malformed(str(error)) from None
                if piece:
                    yield piece
                elif not chunks.complete:
                    await asyncio.sleep(0)
            connection.end_exchange()
        elif head.length is None:
            while arrived := await self._next(None):
                yield arrived
            if connection.has_failed:
                raise connection.broken("the connection broke")
        else:
            rest = head.length
            while rest:
                arrived = await self._next(rest)
                if not arrived:
                    raise connection.broken(CUT_SHORT)
                rest -= len(arrived)
                if not rest:
                    connection.end_exchange()
                yield arrived

    async def _next(self, rest: int | None, most: int = LARGE_BUFFER) -> memoryview:
        """Hand out what has arrived, at most ``rest`` bytes, once it is worth it; nothing at the connection's end."""
        connection = self.connection
        if rest is None or rest > connection.held:
            connection.reserve(most)
            most = min(most, connection.capacity)
            enough = most if rest is None else min(rest, most)
            wanted = 1 if rest is None else enough  # without a length, what has arrived may be all
            if connection.held < wanted and not connection.has_ended:
                await self._wait(wanted, enough, self._read_timeout)
        return connection.take(most if rest is None else rest)

    async def _wait(self, wanted: int, most: int, seconds: float) -> None:
        """Wait until so many bytes are held, or a few of them for a moment, or no more will arrive.

        Args:
            wanted: So many.
            most: About as many bytes as are held at most.
            seconds: How long to wait.

        Raises:
            httpx.ReadTimeout: Nothing arrived in that time.
        """
        connection, loop = self.connection, self._loop
        descriptor = connection.socket.fileno()
        over: asyncio.Future[bool] = loop.create_future()

        def end(in_time: bool = True) -> None:
            if not over.done():
                over.set_result(in_time)

        def on_readable() -> None:
            if over.done():
                return
            held = connection.held
            while connection.receive() and connection.held < most:
                pass
            if connection.held >= wanted or connection.has_ended:
                end()
            elif not held and connection.held:
                loop.call_later(GATHER_SECONDS, end)

        timer = loop.call_later(max(0.0, seconds), end, False)
        loop.add_reader(descriptor, on_readable)
        if connection.held:
            loop.call_later(GATHER_SECONDS, end)
        if connection.is_encrypted:  # nothing reports what is decrypted already
            loop.call_soon(on_readable)
        try:
            if not await over:
                raise httpx.ReadTimeout("no bytes in time")
        finally:
            timer.cancel()
            loop.remove_reader(descriptor)
