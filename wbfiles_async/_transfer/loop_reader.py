"""Waits in the event loop for what comes over a connection.

Heads and small bodies are received by the loop. A large body is received by a thread: receiving, decrypting and
writing let go of Python's lock, so that several processors work and the loop stays free.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

import anyio
import httpx

from wbfiles_async._protocol.http1 import Chunks, Head, MalformedError
from wbfiles_async._protocol.low_speed import LowSpeed
from wbfiles_async._transfer.connection import Connection
from wbfiles_async._transfer.disk import finished
from wbfiles_async._transfer.exchange import Take
from wbfiles_async._transfer.kept_threads import KeptThreads
from wbfiles_async._transfer.receiver import Receiver

LARGE_BUFFER = 1 << 20
"""Bytes of the buffer that a large body comes in: smaller ones cost more calls, larger ones the processor's caches."""

PATIENCE = 0.05
"""Seconds that the bytes of a slow connection wait for more to come along."""

_CUT = "the body ended before it was whole"


class LoopReader:
    """One exchange over a connection.

    Args:
        connection: Free, or in the middle of an answer whose body has not been read.
        threads: Where large bodies are received.
        silence: Seconds without a byte after which it has failed.

    Attributes:
        connection: The connection. Closed by who uses it where the exchange failed.
    """

    def __init__(self, connection: Connection, threads: KeptThreads, silence: float) -> None:
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._silence = silence

    async def ask(self, request: bytes) -> Head:
        """Send a request and receive the head of its answer. Informational ones do not lengthen the wait for it.

        Args:
            request: The request's text.

        Raises:
            StaleError: Nothing was lost; send it again on a new connection.
            httpx.TransportError: It failed.
        """
        connection = self.connection
        connection.begin()
        deadline = self._loop.time() + self._silence
        await self._send(request)
        while (head := connection.head()) is None:
            wanted = connection.held + 1  # and no more of TLS: the loop decrypts no large body
            await self._wait(wanted, wanted, max(0.0, deadline - self._loop.time()))
        return head

    async def _send(self, request: bytes) -> None:
        connection, rest = self.connection, memoryview(request)
        while (rest := rest[connection.send(rest) :]) and not connection.has_ended:
            with anyio.move_on_after(self._silence) as scope:
                await anyio.wait_writable(connection.socket)
            if scope.cancelled_caught:
                raise httpx.WriteTimeout("nothing could be sent in time")

    async def body(self, head: Head) -> AsyncGenerator[memoryview | bytes]:
        """Receive the body. A piece can be used until the next one is asked for.

        Raises:
            httpx.TransportError: It failed, or the body ended before its end.
        """
        connection = self.connection
        if head.chunked:
            chunks = Chunks()
            while not chunks.ended:
                taken = await self._next(None)
                if not taken:
                    raise connection.broken(_CUT)
                try:
                    piece = chunks.feed(taken)
                except MalformedError as error:
                    raise connection.malformed(str(error)) from None
                if piece:
                    yield piece
            connection.be_free()
        elif head.length is None:
            while taken := await self._next(None):
                yield taken
            if connection.has_failed:
                raise connection.broken("the connection broke")
        else:
            rest = head.length
            while rest:
                taken = await self._next(rest)
                if not taken:
                    raise connection.broken(_CUT)
                rest -= len(taken)
                if not rest:
                    connection.be_free()
                yield taken

    async def _next(self, rest: int | None) -> memoryview:
        """Hand out what has come, ``rest`` bytes at the most, once it is worth it; nothing where no more comes."""
        connection = self.connection
        if rest is None or rest > connection.held:
            connection.room(LARGE_BUFFER)
            most = connection.capacity if rest is None else min(rest, connection.capacity)
            wanted = 1 if rest is None else most  # where the end is not known, what is there may be all
            if connection.held < wanted and not connection.has_ended:
                await self._wait(wanted, most, self._silence)
        return connection.take(connection.capacity if rest is None else rest)

    async def _wait(self, wanted: int, most: int, seconds: float) -> None:
        """Wait until so many bytes are held, or a few for a while, or no more come.

        Args:
            wanted: So many.
            most: Bytes that are held at most, about.
            seconds: How long to wait.

        Raises:
            httpx.ReadTimeout: Nothing has come in that time.
        """
        connection, loop = self.connection, self._loop
        number = connection.socket.fileno()
        over: asyncio.Future[bool] = loop.create_future()

        def end(in_time: bool = True) -> None:
            if not over.done():
                over.set_result(in_time)

        def look() -> None:
            if over.done():
                return
            held = connection.held
            while connection.receive() and connection.held < most:
                pass
            if connection.held >= wanted or connection.has_ended:
                end()
            elif not held and connection.held:
                loop.call_later(PATIENCE, end)

        alarm = loop.call_later(seconds, end, False)
        loop.add_reader(number, look)
        if connection.held:
            loop.call_later(PATIENCE, end)
        if connection.is_encrypted:  # what is decrypted already wakes nobody
            loop.call_soon(look)
        try:
            if not await over:
                raise httpx.ReadTimeout("no bytes in time")
        finally:
            alarm.cancel()
            loop.remove_reader(number)

    async def drain(self, length: int, take: Take, speed: LowSpeed) -> None:
        """Receive a body of this length in a thread, and have it taken there.

        Raises:
            httpx.TransportError: It failed, stalled, or ended early; what came before is taken.
        """
        connection = self.connection
        # In the thread: a megabyte of zeros; sixteen of them are worth keeping out of the loop.
        room = partial(connection.room, LARGE_BUFFER)
        failure = connection.broken(_CUT) if connection.has_ended else None
        receiver = Receiver(connection.socket, room, connection.held, length, take, speed, failure)
        try:
            await finished(asyncio.wrap_future(self._threads.run(receiver.run)), interrupt=receiver.interrupt)
        except BaseException:
            connection.close()
            raise
        connection.socket.setblocking(False)
        connection.take(length)
        connection.be_free()
