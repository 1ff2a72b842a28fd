"""One connection to a store: sends a GET, and holds what has come of its answer. Never waits, and knows no event loop.

Why our own and not an HTTP library's: the libraries at hand cost more processor time for a small file than
all the rest of its download, and copy a large body several times on its way. Only what a GET of a store needs
is here. Knows no redirects, no retries, no pool. Who waits for more to come is the event loop (`LoopReader`),
a thread for one large body (`Receiver`), or a thread for many small files (`Lane`).
"""

from __future__ import annotations

import socket
import ssl

import httpx

from wbfiles_async._protocol.http1 import MAX_HEAD_BYTES, Head, MalformedError, parse_head
from wbfiles_async._transfer.receiver import broken

SMALL_BUFFER = 128 << 10
"""Bytes of a connection's buffer at first, which is all that heads and small files need."""

_END_OF_HEAD = b"\r\n\r\n"
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)


class StaleError(Exception):
    """The other side closed a connection that had lain idle, before it saw the request."""


class Connection:
    """Carries one exchange at a time, for one thread at a time.

    Args:
        opened: Connected and not blocking; for TLS its handshake is done. Closed by the connection.

    Attributes:
        socket: For who waits for it.
        has_ended: Whether nothing more will come.
        idle_since: When it became free, in the loop's time.
        came: Bytes received.
    """

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.has_ended = False
        self.idle_since = 0.0
        self.came = 0
        # What has come and is not handed out yet is _buffer[_start:_stop].
        self._buffer = memoryview(bytearray(SMALL_BUFFER))
        self._start = self._stop = 0
        self._expecting = False
        self._cause: Exception | None = None
        self._used = self._has_lain = False

    @property
    def is_encrypted(self) -> bool:
        """Whether what is decrypted already may wait for nobody to be told of it."""
        return isinstance(self.socket, ssl.SSLSocket)

    @property
    def is_free(self) -> bool:
        """Whether another request can be sent."""
        return not (self.has_ended or self._expecting)

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come that nobody asked for, the other side's farewell above all."""
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return False
        try:  # below TLS's own, which gives nothing without taking it
            socket.socket.recv(self.socket, 1, _PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    @property
    def has_failed(self) -> bool:
        """Whether it ended by an error."""
        return self._cause is not None

    @property
    def held(self) -> int:
        """Bytes that have come and are not handed out yet."""
        return self._stop - self._start

    @property
    def capacity(self) -> int:
        """Bytes that can be held."""
        return len(self._buffer)

    def close(self) -> None:
        """Close at once, without the farewells of TLS."""
        self.has_ended = True
        self.socket.close()

    def begin(self, length: int = 0) -> None:
        """Make ready for another exchange, and for a body of so many bytes that is to be held as a whole."""
        self._has_lain, self._used = self._used, True
        self._start = self._stop = 0
        self._expecting = True
        self.room(MAX_HEAD_BYTES + length)

    def send(self, data: bytes | memoryview) -> int:
        """Send as much as can be sent without waiting; give how many bytes that were."""
        try:
            return self.socket.send(data)
        except _NOT_NOW:
            return 0
        except OSError as error:
            self.has_ended, self._cause = True, error
            return 0

    def ask(self, request: bytes, length: int) -> None:
        """Send a request, without waiting: it fits into what the system holds for a connection that has lain.

        Args:
            request: The request's text.
            length: Bytes of a body that is to be held as a whole.

        Raises:
            StaleError, httpx.TransportError: As ``head`` does.
        """
        self.begin(length)
        if self.send(request) < len(request):
            self.head()  # has the words for a connection that has ended
            raise self.broken("the connection did not take the request")

    def receive(self) -> bool:
        """Take in what has come, as far as there is room, without waiting; tell whether more may be here already."""
        try:
            count = self.socket.recv_into(self._buffer[self._stop :])
        except _NOT_NOW:
            return False
        except OSError as error:
            self.has_ended, self._cause = True, error
            return False
        self._stop += count
        self.came += count
        self.has_ended = not count
        return self.is_encrypted and count > 0

    def head(self) -> Head | None:
        """Take the answer's head out of what has come; ``None`` where more of it must come.

        Raises:
            StaleError: Nothing was lost; send the request again on a new connection.
            httpx.TransportError: The connection has ended, or this is no head.
        """
        while True:
            come = bytes(self._buffer[self._start : min(self._stop, MAX_HEAD_BYTES)])
            end = come.find(_END_OF_HEAD)
            if end < 0:
                break
            head = self._parse(come[:end])
            self._start += end + len(_END_OF_HEAD)
            if head.status >= 200:
                if head.length == 0:
                    self.be_free()
                return head
        if self.has_ended:
            if self._has_lain and not self._stop:
                raise StaleError
            raise self.broken("the server closed the connection without an answer")
        if self._stop >= MAX_HEAD_BYTES:  # informational ones included
            raise self.malformed("a head without an end")
        return None

    def take(self, most: int) -> memoryview:
        """Hand out what has come, so many bytes at most; they can be used until more is received."""
        count = min(self.held, most)
        self._start += count
        return self._buffer[self._start - count : self._start]

    def arrived(self, length: int) -> memoryview | None:
        """Hand out a body of this length, as ``take`` does, where all of it is here; ``None`` where it is not."""
        if self.held < length:
            return None
        whole = self.take(length)
        self.be_free()
        return whole

    def be_free(self) -> None:
        """Note that the answer has been handed out."""
        self._expecting = False
        if self.held:  # more than was announced
            self.close()

    def room(self, size: int = 0) -> memoryview:
        """Give the buffer, of so many bytes at least, with what has come at its beginning."""
        held, buffer = self.held, self._buffer
        if len(buffer) < size:
            buffer = memoryview(bytearray(size))
        if self._start or buffer is not self._buffer:
            buffer[:held] = self._buffer[self._start : self._stop]
        self._buffer, self._start, self._stop = buffer, 0, held
        return buffer

    def _parse(self, text: bytes) -> Head:
        try:
            return parse_head(text)
        except MalformedError as error:
            raise self.malformed(str(error)) from None

    def malformed(self, reason: str) -> httpx.RemoteProtocolError:
        """Say that the answer is none."""
        return httpx.RemoteProtocolError(f"not HTTP as it should be: {reason}")

    def broken(self, reason: str) -> httpx.ReadError:
        """Say that the connection broke in the middle of an answer."""
        return broken(reason, self._cause)
