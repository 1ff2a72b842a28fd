"""One connection to a server: sends a request, and buffers received bytes of its response.

A connection to a server that closes after each response can be renewed: connected once more to the same address.

Never waits, and knows no event loop. The event loop (`exchange`), a thread for one large body, which reads the socket
itself (`receiver`), or a thread for many small ones (`batch`) does the waiting.
"""

from __future__ import annotations

import errno
import socket
import ssl
from contextlib import suppress
from typing import Final

import httpx

from wbfiles_async._http.errors import StaleConnectionError
from wbfiles_async._http.http1 import MAX_HEAD_BYTES, MalformedError, ResponseHead, parse_head

__all__ = ["CUT_SHORT", "Connection", "broken"]

SMALL_BUFFER: Final = 128 << 10
"""Initial bytes of a connection's buffer, enough for heads and small bodies."""

CUT_SHORT: Final = "the body ended before it was complete"

_END_OF_HEAD: Final = b"\r\n\r\n"
_NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_IN_PROGRESS: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK})
_PEEK: Final = int(socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0))


class Connection:
    """A connection for one exchange at a time, in one thread at a time.

    Args:
        opened: Connected and not blocking; for TLS its handshake is done. Closed by the connection.
        target_prefix: The prefix of each request's target: the origin, if a proxy parses the request.
        extra_fields: Header fields for the proxy.

    Attributes:
        socket: The socket, to wait for.
        has_ended: Whether nothing more will arrive.
        idle_since: When it became idle, in the loop's time.
        received: Bytes received so far.
    """

    def __init__(
        self,
        opened: socket.socket,
        *,
        target_prefix: bytes = b"",
        extra_fields: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.socket = opened
        self.target_prefix = target_prefix
        self.extra_fields = extra_fields
        self.has_ended = False
        self.idle_since = 0.0
        self.received = 0
        # Received and not yet consumed: _buffer[_start:_stop].
        self._buffer = memoryview(bytearray(SMALL_BUFFER))
        self._start = self._stop = 0
        self._in_exchange = False
        self._cause: Exception | None = None
        self._exchanges = 0
        self._is_aborted = False

    @property
    def is_encrypted(self) -> bool:
        """Whether decrypted bytes may be buffered, which the operating system does not report."""
        return isinstance(self.socket, ssl.SSLSocket)

    @property
    def is_new(self) -> bool:
        """Whether it is in its first exchange."""
        return self._exchanges == 1

    @property
    def is_idle(self) -> bool:
        """Whether another request can be sent."""
        return not (self.has_ended or self._in_exchange)

    @property
    def is_reusable(self) -> bool:
        """Whether an idle connection is still open, and no unsolicited bytes have arrived."""
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return False
        try:  # below TLS, whose own receive cannot peek
            socket.socket.recv(self.socket, 1, _PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    @property
    def has_failed(self) -> bool:
        """Whether it ended with an error."""
        return self._cause is not None

    @property
    def held(self) -> int:
        """Received bytes that have not been consumed."""
        return self._stop - self._start

    @property
    def capacity(self) -> int:
        """The capacity of the buffer."""
        return len(self._buffer)

    def close(self) -> None:
        """Close at once, without TLS's closing messages."""
        self.has_ended = True
        self.socket.close()

    def abort(self) -> None:
        """Make all waiters see the connection's end. Any thread may call this."""
        self._is_aborted = True  # first, since a thread may replace the socket
        with suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)  # TLS's own would continue in plain text

    def renew(self) -> None:
        """Close the connection, and begin to connect to the same address again, without TLS; then `finish_renewal`.

        Raises:
            StaleConnectionError: That is impossible.
        """
        old = self.socket
        try:
            address = old.getpeername()
            self.close()
            self.socket = socket.socket(old.family, old.type, old.proto)
            self.socket.setblocking(False)
            failure = self.socket.connect_ex(address)
        except OSError as error:
            raise StaleConnectionError from error
        if failure not in _IN_PROGRESS:
            raise StaleConnectionError

    def finish_renewal(self) -> None:
        """Complete a renewal, once the socket is writable.

        Raises:
            StaleConnectionError: The server cannot be reached.
        """
        if self._is_aborted or self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise StaleConnectionError
        with suppress(OSError):  # faster, but optional
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.has_ended, self._cause, self._exchanges = False, None, 0

    def begin_exchange(self, body_bytes: int = 0) -> None:
        """Prepare for another request, and for a response body of this length that is buffered whole."""
        self._exchanges += 1
        self._start = self._stop = 0
        self._in_exchange = True
        self.reserve(MAX_HEAD_BYTES + body_bytes)

    def send(self, data: bytes | memoryview) -> int:
        """Send as much as possible without waiting, and return the number of bytes."""
        try:
            return self.socket.send(data)
        except _NOT_NOW:
            return 0
        except OSError as error:
            self.has_ended, self._cause = True, error
            return 0

    def send_whole(self, head: bytes, body_bytes: int) -> None:
        """Send a request without waiting: it fits into the system's buffer of an idle connection.

        Raises:
            StaleConnectionError, httpx.TransportError: As ``read_head`` does.
        """
        self.begin_exchange(body_bytes)
        if self.send(head) < len(head):
            self.read_head()  # raises, if the connection has ended
            raise self.broken("the connection did not take the request")

    def receive(self) -> bool:
        """Receive available bytes into the buffer, without waiting.

        Returns:
            Whether more may be available at once.
        """
        try:
            count = self.socket.recv_into(self._buffer[self._stop :])
        except _NOT_NOW:
            return False
        except OSError as error:
            self.has_ended, self._cause = True, error
            return False
        self._stop += count
        self.received += count
        self.has_ended = not count
        return self.is_encrypted and count > 0

    def read_head(self, method: bytes = b"GET") -> ResponseHead | None:
        """Return the response's head, once complete; ``None`` before. Skips informational responses.

        Raises:
            StaleConnectionError: The server did not read the request.
            httpx.TransportError: The connection has ended, or this is not a valid head.
        """
        while True:
            arrived = bytes(self._buffer[self._start : min(self._stop, MAX_HEAD_BYTES)])
            end = arrived.find(_END_OF_HEAD)
            if end < 0:
                break
            end += len(_END_OF_HEAD)
            try:
                head = parse_head(arrived[:end], method=method)
            except MalformedError as error:
                raise self.malformed(str(error)) from None
            self._start += end
            if head.status >= 200:
                if head.length == 0:
                    self.end_exchange()
                return head
        if self.has_ended:
            if self._exchanges > 1 and not self._stop:
                raise StaleConnectionError
            raise self.broken("the server closed the connection without a response")
        if self._stop >= MAX_HEAD_BYTES:  # informational responses included
            raise self.malformed("a head without an end")
        return None

    def take(self, most: int) -> memoryview:
        """Consume received bytes, at most this many; valid until more are received."""
        count = min(self.held, most)
        self._start += count
        return self._buffer[self._start - count : self._start]

    def take_whole(self, length: int) -> memoryview | None:
        """Consume a body of this length, like ``take``, if all of it has arrived."""
        if self.held < length:
            return None
        body = self.take(length)
        self.end_exchange()
        return body

    def end_exchange(self) -> None:
        """Record that the response has been read. A connection with unexpected further bytes is closed."""
        self._in_exchange = False
        if self.held:
            self.close()

    def reserve(self, size: int) -> memoryview:
        """Return the buffer, grown to at least this length, with received bytes at its beginning."""
        held, buffer = self.held, self._buffer
        if len(buffer) < size:
            buffer = memoryview(bytearray(size))
        if self._start or buffer is not self._buffer:
            buffer[:held] = self._buffer[self._start : self._stop]
        self._buffer, self._start, self._stop = buffer, 0, held
        return buffer

    def malformed(self, reason: str) -> httpx.RemoteProtocolError:
        """Return the error for a response that is not valid HTTP."""
        return httpx.RemoteProtocolError(f"not HTTP as it should be: {reason}")

    def broken(self, reason: str) -> httpx.ReadError:
        """Return the error for a connection that broke within a response."""
        return broken(reason, self._cause)


def broken(reason: str, cause: Exception | None = None) -> httpx.ReadError:
    """Return the error for a connection that broke within a response."""
    error = httpx.ReadError(f"{reason} ({cause})" if cause else reason)
    error.__cause__ = cause
    return error
