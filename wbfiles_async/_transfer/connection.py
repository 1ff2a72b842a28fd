"""One connection to a store: sends a GET, and receives its answer straight into buffers of its own.

Why our own and not an HTTP library's: the libraries at hand cost more processor time for a small file than
all the rest of its download, and copy a large body several times on its way. Only what a GET of a store needs
is here. Knows no redirects, no retries, no pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import httpx

from wbfiles_async._protocol.http1 import MAX_HEAD_BYTES, Chunks, Head, MalformedError, parse_head

SMALL_BUFFER = 128 << 10
"""Bytes of a connection's buffer at first, which is all that heads and small files need."""

LARGE_BUFFER = 1 << 20
"""Bytes of each of the two buffers that a large body comes in: while one is written, the other fills."""

PATIENCE = 0.05
"""Seconds that the bytes of a slow connection wait for more to come along."""

_END_OF_HEAD = b"\r\n\r\n"


class StaleError(Exception):
    """The other side closed a connection that had lain idle, before it saw the request."""


class Connection(asyncio.BufferedProtocol):
    """Carries one exchange at a time.

    Attributes:
        idle_since: When it became free, in the loop's time.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        # What has arrived and is not handed out yet is _buffer[_start:_stop].
        self._buffer = memoryview(bytearray(SMALL_BUFFER))
        self._start = self._stop = 0
        self._lent: memoryview | None = None
        self._spare: memoryview | None = None
        self._expecting = False
        self._ended = False
        self._cause: Exception | None = None
        self._paused = False
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._used = False
        self.idle_since = 0.0

    @property
    def is_free(self) -> bool:
        """Whether another request can be sent."""
        return not (self._ended or self._expecting)

    def close(self) -> None:
        """Close at once, without the farewells of TLS."""
        self._ended = True
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._cause = self._cause or exc
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer[self._stop :]

    def buffer_updated(self, nbytes: int) -> None:
        if not self._expecting:  # nobody asked for it, and what is handed out must not be touched
            self.close()
            return
        self._stop += nbytes
        held = self._stop - self._start
        if self._stop == len(self._buffer):
            self._pause()
            self._wake()
        elif held >= self._wanted:
            self._wake()
        elif held == nbytes:
            self._loop.call_later(PATIENCE, self._wake)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Called by who reads.

    async def exchange(self, request: bytes, silence: float) -> Head:
        """Send a request and receive the head of its answer.

        Args:
            request: The request's text.
            silence: Seconds without a byte after which it has failed.

        Raises:
            StaleError: Nothing was lost; send it again on a new connection.
            httpx.TransportError: It failed.
        """
        assert self._transport is not None  # noqa: S101
        stale, self._used = self._used, True
        self._start = self._stop = 0
        self._expecting = True
        self._resume()
        self._transport.write(request)
        while True:
            arrived = bytes(self._buffer[self._start : min(self._stop, self._start + MAX_HEAD_BYTES)])
            end = arrived.find(_END_OF_HEAD)
            if end >= 0:
                head = self._parse(arrived[:end])
                self._start += end + len(_END_OF_HEAD)
                if head.status >= 200:
                    self._expecting = head.length != 0
                    if not self._expecting and self._start < self._stop:  # more than was announced
                        self.close()
                    return head
            elif self._ended:
                if stale and not self._stop:
                    raise StaleError
                raise self._broken("the server closed the connection without an answer")
            elif len(arrived) >= MAX_HEAD_BYTES:
                raise self._malformed("a head without an end")
            else:
                await self._arrival(self._stop - self._start + 1, silence)

    async def body(self, head: Head, silence: float) -> AsyncGenerator[memoryview | bytes]:
        """Receive the body. A piece can be used until the next one is asked for.

        Raises:
            httpx.TransportError: It failed, or the body ended before its end.
        """
        if head.chunked:
            chunks = Chunks()
            while not chunks.ended:
                taken = await self._take(None, silence)
                if not taken:
                    raise self._broken("the body ended before it was whole")
                try:
                    piece = chunks.feed(taken)
                except MalformedError as error:
                    raise self._malformed(str(error)) from None
                if piece:
                    yield piece
            self._expecting = self._stop > self._start
        elif head.length is None:
            while not self._ended or self._stop > self._start:
                yield await self._take(None, silence)
            if self._cause is not None:
                raise self._broken("the connection broke")
        else:
            rest = head.length
            while rest:
                taken = await self._take(rest, silence)
                rest -= len(taken)
                yield taken

    async def _take(self, rest: int | None, silence: float) -> memoryview:
        """Hand out what has arrived, ``rest`` bytes at the most; wait until it is worth it."""
        self._take_back()
        if (rest is None or rest > len(self._buffer) - self._start) and len(self._buffer) < LARGE_BUFFER:
            self._enlarge()
        capacity = len(self._buffer) - self._start
        wanted = capacity if rest is None else min(rest, capacity)
        held = self._stop - self._start
        if 0 < held < wanted:
            self._loop.call_later(PATIENCE, self._wake)
        while held < wanted and not self._ended:
            held = await self._arrival(wanted, silence)
            if held:
                break
        if not held:
            if rest is None and self._cause is None:
                return self._buffer[:0]
            raise self._broken("the body ended before it was whole")
        count = held if rest is None else min(held, rest)
        piece = self._buffer[self._start : self._start + count]
        self._start += count
        if count == rest:
            self._expecting = False
            if self._start < self._stop:  # more than was announced
                self.close()
        elif self._start == self._stop:
            self._lent, self._buffer = self._buffer, self._spare or memoryview(bytearray(len(self._buffer)))
            self._spare = None
            self._start = self._stop = 0
            self._resume()
        return piece

    def _take_back(self) -> None:
        if self._lent is not None:
            self._spare, self._lent = self._lent, None

    def _enlarge(self) -> None:
        held = self._stop - self._start
        larger = memoryview(bytearray(LARGE_BUFFER))
        larger[:held] = self._buffer[self._start : self._stop]
        self._buffer, self._spare, self._start, self._stop = larger, None, 0, held
        self._resume()

    async def _arrival(self, wanted: int, silence: float) -> int:
        """Wait until so many bytes are held, or a few for a while, or no more come; give how many are held."""
        if self._stop == len(self._buffer):
            return self._stop - self._start
        self._wanted = wanted
        self._waiter = self._loop.create_future()
        try:
            async with asyncio.timeout(silence):
                await self._waiter
        except TimeoutError:
            raise httpx.ReadTimeout("no bytes in time") from None
        finally:
            self._waiter = None
            self._wanted = 0
        return self._stop - self._start

    def _pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            if not self._ended:
                self._transport.resume_reading()

    def _parse(self, text: bytes) -> Head:
        try:
            return parse_head(text)
        except MalformedError as error:
            raise self._malformed(str(error)) from None

    def _malformed(self, reason: str) -> httpx.RemoteProtocolError:
        return httpx.RemoteProtocolError(f"not HTTP as it should be: {reason}")

    def _broken(self, reason: str) -> httpx.ReadError:
        error = httpx.ReadError(f"{reason} ({self._cause})" if self._cause else reason)
        error.__cause__ = self._cause
        return error
