"""One request and its response over a connection, awaited in the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Final

import httpx

from wbfiles_async._http.connection import CUT_SHORT, Connection
from wbfiles_async._http.http1 import ChunkedBody, MalformedError, ResponseHead
from wbfiles_async._http.readiness import watch
from wbfiles_async._http.stall import StallDetector

__all__ = ["LARGE_BUFFER", "Exchange"]

LARGE_BUFFER: Final = 1 << 20
"""Bytes of the buffer for a large body: smaller ones take more calls, larger ones exceed the processor's caches."""

CHUNKS_BYTES: Final = 64 << 10
"""Bytes of a chunked body that are decoded at a time: a chunk may hold one byte, and the loop must not be blocked."""

GATHER_SECONDS: Final = 0.05
"""Seconds that the bytes of a slow connection wait for more to arrive."""


class Exchange:
    """One exchange over a connection.

    Args:
        connection: Idle, or within a response whose body has not been read.
        read_timeout: Seconds within which the head must be complete, and between two pieces of the body.
        write_timeout: Seconds within which the server must accept bytes of the request; defaults to
            ``read_timeout``.

    Attributes:
        connection: The connection. Its user closes it if the exchange fails.
        answer_seconds: Seconds from the request to the complete head of its response; ``None`` before.
    """

    def __init__(self, connection: Connection, read_timeout: float, write_timeout: float | None = None) -> None:
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._read_timeout = read_timeout
        self._write_timeout = read_timeout if write_timeout is None else write_timeout
        self.answer_seconds: float | None = None

    async def send(
        self,
        head: bytes,
        body: AsyncIterable[bytes | memoryview] | None = None,
        *,
        chunked: bool = False,
        least: int = 1,
    ) -> bool:
        """Send a request. Stop if the server responds before it has read the whole body, or disconnects.

        Args:
            head: Its head.
            body: Its body.
            chunked: Whether the head announces a chunked body.
            least: Bytes of the body that the server must accept in each window of the timeout. Defaults to 1.

        Returns:
            Whether all of it was sent. If not, the connection cannot be reused.

        Raises:
            httpx.WriteTimeout: The server accepted too little in time.
        """
        self.connection.begin_exchange()
        stall = StallDetector(self._write_timeout, least)
        if not await self._send_all(head, stall):
            return False
        if body is None:
            return True
        async for piece in body:
            if piece and not await self._send_all(_chunk(piece) if chunked else piece, stall):
                return False
        return not chunked or await self._send_all(b"0\r\n\r\n", stall)

    async def _send_all(self, data: bytes | memoryview, stall: StallDetector) -> bool:
        """Send; return whether all was sent before the server responded or disconnected."""
        connection, rest = self.connection, memoryview(data)
        while rest := rest[(count := connection.send(rest)) :]:
            if connection.has_ended:
                connection.receive()  # its response before it disconnected
                return False
            since = time.monotonic()
            await self._wait_writable()
            if connection.held or connection.has_ended:
                return False
            if reason := stall.stall(time.monotonic() - since, count):
                raise httpx.WriteTimeout(reason)
        return True

    async def _wait_writable(self) -> None:
        """Wait until more can be sent, bytes have arrived, or the connection has ended.

        Raises:
            httpx.WriteTimeout: None of it happened in time.
        """
        connection, loop = self.connection, self._loop
        over: asyncio.Future[bool] = loop.create_future()

        def end(in_time: bool = True) -> None:
            if not over.done():
                over.set_result(in_time)

        def on_readable() -> None:
            while not over.done() and connection.receive() and connection.held < CHUNKS_BYTES:
                pass
            if connection.held or connection.has_ended:
                end()

        timer = loop.call_later(self._write_timeout, end, False)
        unwatch = (watch(connection.socket, end, writing=True), watch(connection.socket, on_readable))
        try:
            if not await over:
                raise httpx.WriteTimeout("nothing could be sent in time")
        finally:
            timer.cancel()
            for end_watch in unwatch:
                end_watch()

    async def receive_head(self, method: bytes = b"GET") -> ResponseHead:
        """Receive the head of the response. Informational responses do not extend the time it may take.

        Raises:
            StaleConnectionError: Nothing was lost; send the request again on a new connection.
            httpx.TransportError: The exchange failed.
        """
        connection, began = self.connection, self._loop.time()
        deadline = began + self._read_timeout
        while (head := connection.read_head(method)) is None:
            wanted = connection.held + 1  # no more with TLS, since the event loop must not decrypt large bodies
            await self._wait(wanted, wanted, deadline - self._loop.time())
        self.answer_seconds = self._loop.time() - began
        return head

    async def body(self, head: ResponseHead, most: int) -> AsyncGenerator[memoryview | bytes]:
        """Receive a body that is not drained, in pieces that are valid until the next one is requested.

        Args:
            head: The head of the response.
            most: Maximum bytes of a piece.

        Raises:
            httpx.TransportError: The connection failed, or the body ended before its end.
        """
        connection = self.connection
        if head.chunked:
            chunks = ChunkedBody(head)
            while not chunks.complete:
                arrived = await self._next(None, min(most, CHUNKS_BYTES))
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
            while arrived := await self._next(None, most):
                yield arrived
            if connection.has_failed:
                raise connection.broken("the connection broke")
        else:
            rest = head.length
            while rest:
                arrived = await self._next(rest, most)
                if not arrived:
                    raise connection.broken(CUT_SHORT)
                rest -= len(arrived)
                if not rest:
                    connection.end_exchange()
                yield arrived

    async def _next(self, rest: int | None, most: int) -> memoryview:
        """Return received bytes, at most ``rest`` and ``most``, once there are enough; none at the connection's end."""
        connection = self.connection
        if rest is None or rest > connection.held:
            connection.reserve(most)
            most = min(most, connection.capacity)
            enough = most if rest is None else min(rest, most)
            wanted = 1 if rest is None else enough  # without a length, the body may be complete
            if connection.held < wanted and not connection.has_ended:
                await self._wait(wanted, enough, self._read_timeout)
        return connection.take(most if rest is None else min(rest, most))

    async def _wait(self, wanted: int, most: int, seconds: float) -> None:
        """Wait until this many bytes are buffered, or a few of them for a moment, or no more will arrive.

        Args:
            wanted: So many.
            most: About as many bytes as are held at most.
            seconds: How long to wait.

        Raises:
            httpx.ReadTimeout: Nothing arrived in that time.
        """
        connection, loop = self.connection, self._loop
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
        unwatch = watch(connection.socket, on_readable)
        if connection.held:
            loop.call_later(GATHER_SECONDS, end)
        if connection.is_encrypted:  # decrypted bytes are not reported
            loop.call_soon(on_readable)
        try:
            if not await over:
                raise httpx.ReadTimeout("no bytes in time")
        finally:
            timer.cancel()
            unwatch()


def _chunk(piece: bytes | memoryview) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), bytes(piece))
