"""Receives a large body in a thread, by blocking calls: all but a few lines of it run without Python's lock."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress

import httpx

from wbfiles_async._protocol.low_speed import LowSpeed
from wbfiles_async._transfer.exchange import Take

PATIENCE = 0.25
"""Seconds that the bytes of a slow connection wait for more: short enough for somebody who watches the progress."""


class Receiver:
    """The body of one answer on its way from a socket to who takes it.

    Args:
        connected: Its socket, which the loop leaves alone meanwhile.
        room: Makes room for it. Called in the thread.
        held: Bytes of it, or more, that are there already, at the beginning of that room.
        length: Bytes of the whole body.
        take: Uses what arrived.
        speed: Tells when the connection has stalled.
        failure: What the connection has ended by already.
    """

    def __init__(
        self,
        connected: socket.socket,
        room: Callable[[], memoryview],
        held: int,
        length: int,
        take: Take,
        speed: LowSpeed,
        failure: httpx.TransportError | None = None,
    ) -> None:
        self._socket = connected
        self._room = room
        self._buffer = memoryview(b"")
        self._rest = length
        self._held = min(held, length)
        self._take = take
        self._speed = speed
        self._failure = failure
        self._silent = 0.0
        self._interrupted = False

    def interrupt(self) -> None:
        """Make ``run`` return soon. For other threads."""
        self._interrupted = True
        with suppress(OSError):  # the other side was quicker
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own would go on as if in plain text

    def run(self) -> None:
        """Receive all of the body. Blocks.

        Raises:
            httpx.TransportError: It failed, stalled, or ended early; what came before is taken.
        """
        self._buffer = self._room()
        if self._failure is None:
            self._socket.settimeout(min(PATIENCE, self._speed.seconds))
        while self._rest:
            failure = self._failure or self._fill()
            if self._held:
                self._take(self._buffer[: self._held])
                self._rest -= self._held
                self._held = 0
            if failure is not None and self._rest:
                raise failure

    def _fill(self) -> httpx.TransportError | None:
        """Receive until it is worth taking; give what ended it."""
        # TLS comes in records of 16 KiB, so that each line in this loop is run 65,536 times for a GiB.
        receive, now, buffer, held = self._socket.recv_into, time.monotonic, self._buffer, self._held
        most, enough = min(len(buffer), self._rest), min(len(buffer) // 2, self._rest)
        began = now()
        try:
            while held < enough:
                count = receive(buffer[held:most])
                if not count or self._interrupted:
                    return broken("the body ended before it was whole")
                held += count
                if now() > began + PATIENCE:
                    break
        except TimeoutError:
            self._silent += now() - began
            if not held and self._silent >= self._speed.seconds:
                return httpx.ReadTimeout("no bytes in time")
        except OSError as error:
            return broken("the connection broke", error)
        finally:
            came, self._held = held - self._held, held
        if came:
            self._silent = 0.0
        reason = self._speed.stall(now() - began, came)
        return httpx.ReadTimeout(reason) if reason else None


def broken(reason: str, cause: Exception | None = None) -> httpx.ReadError:
    """Say that a connection broke in the middle of an answer."""
    error = httpx.ReadError(f"{reason} ({cause})" if cause else reason)
    error.__cause__ = cause
    return error
