"""One connection to a store: sends a GET, and receives its answer straight into buffers of its own.

Why our own and not an HTTP library's: the libraries at hand cost more processor time for a small file than
all the rest of its download, and copy a large body several times on its way. Only what a GET of a store needs
is here. Knows no redirects, no retries, no pool.

Heads and small bodies are received by the event loop. A large body is received by a thread: receiving,
decrypting and writing let go of Python's lock, so that several processors work and the loop stays free.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator

import anyio
import httpx

from wbfiles_async._protocol.http1 import MAX_HEAD_BYTES, Chunks, Head, MalformedError, parse_head
from wbfiles_async._protocol.low_speed import LowSpeed
from wbfiles_async._transfer.disk import finished
from wbfiles_async._transfer.exchange import Take
from wbfiles_async._transfer.kept_threads import KeptThreads
from wbfiles_async._transfer.receiver import Receiver, broken

SMALL_BUFFER = 128 << 10
"""Bytes of a connection's buffer at first, which is all that heads and small files need."""

LARGE_BUFFER = 1 << 20
"""Bytes of the buffer that a large body comes in: smaller ones cost more calls, larger ones the processor's caches.
Where the body is handed out in the loop there are two: while one is used, the other fills."""

PATIENCE = 0.05
"""Seconds that the bytes of a slow connection wait in the loop for more to come along."""

_PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
_END_OF_HEAD = b"\r\n\r\n"
_NOTHING_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class StaleError(Exception):
    """The other side closed a connection that had lain idle, before it saw the request."""


class Connection:
    """Carries one exchange at a time.

    Args:
        opened: Connected and not blocking; for TLS its handshake is done. Closed by the connection.
        threads: Where large bodies are received.

    Attributes:
        idle_since: When it became free, in the loop's time.
        came: Bytes that a thread received.
    """

    def __init__(self, opened: socket.socket, threads: KeptThreads) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = opened
        self._threads = threads
        self._number = opened.fileno()
        self._encrypted = isinstance(opened, ssl.SSLSocket)
        # What has arrived and is not handed out yet is _buffer[_start:_stop].
        self._buffer = memoryview(bytearray(SMALL_BUFFER))
        self._start = self._stop = 0
        self._lent: memoryview | None = None
        self._spare: memoryview | None = None
        self._expecting = False
        self._ended = False
        self._cause: Exception | None = None
        self._watching = False
        self._wanted = 0
        self._waiter: asyncio.Future[bool] | None = None
        self._used = self._has_lain = False
        self.idle_since = 0.0
        self.came = 0

    @property
    def socket(self) -> socket.socket:
        """The socket, for a thread that waits for it."""
        return self._socket

    @property
    def is_free(self) -> bool:
        """Whether another request can be sent."""
        return not (self._ended or self._expecting)

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come that nobody asked for, the other side's farewell above all."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return False
        try:  # below TLS's own, which gives nothing without taking it
            socket.socket.recv(self._socket, 1, _PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    def close(self) -> None:
        """Close at once, without the farewells of TLS."""
        self._end(None)

    # Called by the event loop.

    def _on_readable(self) -> None:
        while True:
            try:
                count = self._socket.recv_into(self._buffer[self._stop :])
            except _NOTHING_YET:
                return
            except OSError as error:
                self._end(error)
                return
            if not count:
                self._end(None)
                return
            self._on_bytes(count)
            if not (self._encrypted and self._watching):
                return
            if self._waiter is not None and self._waiter.done():  # who has waited may want the rest in a thread
                self._loop.call_soon(self._look_again)  # what is decrypted already wakes nobody
                return

    def _on_bytes(self, count: int) -> None:
        self._stop += count
        held = self._stop - self._start
        if self._stop == len(self._buffer):
            self._unwatch()
            self._wake()
        elif held >= self._wanted:
            self._wake()
        elif held == count:
            self._loop.call_later(PATIENCE, self._wake)

    def _end(self, cause: Exception | None) -> None:
        self._ended = True
        self._cause = self._cause or cause
        self._unwatch()
        self._socket.close()
        self._wake()

    def _wake(self, in_time: bool = True) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(in_time)

    def _watch(self) -> None:
        if not self._watching and not self._ended:
            self._watching = True
            self._loop.add_reader(self._number, self._on_readable)
            if self._encrypted:
                self._loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        if self._watching:
            self._on_readable()

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._number)

    # Called by a thread.

    def ask(self, request: bytes, length: int) -> None:
        """Send a request, without waiting: it fits into what the system holds for a connection that has lain.

        Args:
            request: The request's text.
            length: Bytes of a body that is to be held as a whole.

        Raises:
            StaleError, httpx.TransportError: As ``exchange`` does.
        """
        self._begin()
        self._make_room(MAX_HEAD_BYTES + length)
        try:
            sent = self._socket.send(request)
        except OSError as error:
            self._ended, self._cause = True, error
            self.head()  # has the words for it
        else:
            if sent < len(request):
                raise broken("the connection did not take the request")

    def receive(self) -> bool:
        """Take in what has come, without waiting; tell whether more may be here already."""
        try:
            count = self._socket.recv_into(self._buffer[self._stop :])
        except _NOTHING_YET:
            return False
        except OSError as error:
            self._ended, self._cause = True, error
            return False
        self._stop += count
        self.came += count
        self._ended = not count
        return self._encrypted and count > 0

    # Called by who reads.

    async def exchange(self, request: bytes, silence: float) -> Head:
        """Send a request and receive the head of its answer.

        Args:
            request: The request's text.
            silence: Seconds without a head after which it has failed; informational ones do not count.

        Raises:
            StaleError: Nothing was lost; send it again on a new connection.
            httpx.TransportError: It failed.
        """
        self._begin()
        self._watch()
        deadline = self._loop.time() + silence
        await self._send(request, silence)
        while (head := self.head()) is None:
            await self._arrival(self._stop - self._start + 1, max(0.0, deadline - self._loop.time()))
        return head

    def _begin(self) -> None:
        """Make ready for another exchange."""
        self._has_lain, self._used = self._used, True
        self._start = self._stop = 0
        self._expecting = True

    def head(self) -> Head | None:
        """Take the answer's head out of what has arrived; ``None`` where more of it must come.

        Raises:
            StaleError, httpx.TransportError: As ``exchange`` does.
        """
        while True:
            arrived = bytes(self._buffer[self._start : min(self._stop, MAX_HEAD_BYTES)])
            end = arrived.find(_END_OF_HEAD)
            if end < 0:
                break
            head = self._parse(arrived[:end])
            self._start += end + len(_END_OF_HEAD)
            if head.status >= 200:
                if head.length == 0:
                    self._be_free()
                return head
        if self._ended:
            if self._has_lain and not self._stop:
                raise StaleError
            raise self._broken("the server closed the connection without an answer")
        if self._stop >= MAX_HEAD_BYTES:
            raise self._malformed("a head without an end")
        return None

    async def _send(self, request: bytes, silence: float) -> None:
        rest = memoryview(request)
        while rest and not self._ended:
            try:
                rest = rest[self._socket.send(rest) :]
            except _NOTHING_YET:
                with anyio.move_on_after(silence) as scope:
                    await anyio.wait_writable(self._socket)
                if scope.cancelled_caught:
                    raise httpx.WriteTimeout("nothing could be sent in time") from None
            except OSError as error:
                self._end(error)

    def arrived(self, length: int) -> bytes | None:
        """Hand out a body of this length where all of it is here; ``None`` where it is not."""
        if self._stop - self._start < length:
            return None
        whole = bytes(self._buffer[self._start : self._start + length])
        self._start += length
        self._be_free()
        return whole

    def _be_free(self) -> None:
        """Note that the answer has come to its end."""
        self._expecting = False
        self._unwatch()
        if self._start < self._stop:  # more than was announced
            self.close()

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
            if self._stop == self._start:
                self._be_free()
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

    async def drain(self, length: int, take: Take, speed: LowSpeed) -> None:
        """Receive a body of this length in a thread, and have it taken there.

        Raises:
            httpx.TransportError: It failed, stalled, or ended early; what came before is taken.
        """
        self._unwatch()  # the loop must not touch the socket while the thread does
        held = self._stop - self._start

        def room() -> memoryview:  # a megabyte of zeros; sixteen of them are worth keeping out of the loop
            self._make_room(LARGE_BUFFER)
            self._buffer[:held] = self._buffer[self._start : self._stop]
            self._start = self._stop = 0
            return self._buffer

        failure = self._broken("the body ended before it was whole") if self._ended else None
        receiver = Receiver(self._socket, room, held, length, take, speed, failure)
        try:
            await finished(asyncio.wrap_future(self._threads.run(receiver.run)), interrupt=receiver.interrupt)
        except BaseException:
            self.close()
            raise
        if not self._ended:  # since its last bytes came, before somebody took them
            self._socket.setblocking(False)
            self._start, self._stop = 0, max(0, held - length)
            self._be_free()

    async def _take(self, rest: int | None, silence: float) -> memoryview:
        """Hand out what has arrived, ``rest`` bytes at the most; wait until it is worth it."""
        self._take_back()
        if (rest is None or rest > len(self._buffer) - self._start) and len(self._buffer) < LARGE_BUFFER:
            self._make_room(LARGE_BUFFER)
            self._watch()
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
            self._be_free()
        elif self._start == self._stop:
            self._lent, self._buffer = self._buffer, self._spare or memoryview(bytearray(len(self._buffer)))
            self._spare = None
            self._start = self._stop = 0
            self._watch()
        return piece

    def _take_back(self) -> None:
        if self._lent is not None:
            self._spare, self._lent = self._lent, None

    def _make_room(self, size: int) -> None:
        """Have a buffer of so many bytes, or more; what has arrived is at its beginning where it is a new one."""
        if len(self._buffer) >= size:
            return
        held = self._stop - self._start
        larger = memoryview(bytearray(size))
        larger[:held] = self._buffer[self._start : self._stop]
        self._buffer, self._spare, self._start, self._stop = larger, None, 0, held

    async def _arrival(self, wanted: int, silence: float) -> int:
        """Wait until so many bytes are held, or a few for a while, or no more come; give how many are held."""
        if self._stop == len(self._buffer):
            return self._stop - self._start
        self._wanted = wanted
        self._waiter = self._loop.create_future()
        alarm = self._loop.call_later(silence, self._wake, False)
        try:
            in_time = await self._waiter
        finally:
            alarm.cancel()
            self._waiter = None
            self._wanted = 0
        if not in_time:
            raise httpx.ReadTimeout("no bytes in time")
        return self._stop - self._start

    def _parse(self, text: bytes) -> Head:
        try:
            return parse_head(text)
        except MalformedError as error:
            raise self._malformed(str(error)) from None

    def _malformed(self, reason: str) -> httpx.RemoteProtocolError:
        return httpx.RemoteProtocolError(f"not HTTP as it should be: {reason}")

    def _broken(self, reason: str) -> httpx.ReadError:
        return broken(reason, self._cause)
