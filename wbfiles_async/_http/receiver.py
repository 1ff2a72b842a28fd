"""Receives one body in a worker thread with blocking calls, for a large one mostly without Python's lock."""

from __future__ import annotations

import time
from typing import Final

import httpx

from wbfiles_async._http.connection import CUT_SHORT, Connection, broken
from wbfiles_async._http.exchange import LARGE_BUFFER
from wbfiles_async._http.extensions import Sink, StallLimit
from wbfiles_async._http.stall import StallDetector

__all__ = ["BodyReceiver"]

GATHER_SECONDS: Final = 0.25
"""Seconds that the bytes of a slow connection wait for more: short enough for a progress display."""


class BodyReceiver:
    """Receives the body of one response from a connection into a sink.

    Args:
        connection: Within the response, after its head. Nothing else uses it meanwhile.
        length: Length of the body in bytes.
        sink: Takes the body.
        limit: When the connection counts as stalled.
    """

    def __init__(self, connection: Connection, length: int, sink: Sink, limit: StallLimit) -> None:
        self._connection = connection
        self._socket = connection.socket
        self._buffer = memoryview(b"")
        self._rest = length
        self._held = min(connection.held, length)
        self._length = length
        self._sink = sink
        self._detector = StallDetector(limit.seconds, limit.least)
        self._failure: httpx.TransportError | None = None
        self._silent = 0.0
        self._interrupted = False

    def interrupt(self) -> None:
        """Make ``run`` return soon. Called from other threads."""
        self._interrupted = True
        self._connection.abort()

    def run(self) -> None:
        """Receive the whole body. Blocks.

        Raises:
            httpx.TransportError: The connection failed, stalled, or ended early; the sink has the bytes that arrived.
        """
        connection = self._connection
        self._buffer = connection.reserve(min(LARGE_BUFFER, self._length))
        waits = self._held < self._length
        if connection.has_ended:
            self._failure = connection.broken(CUT_SHORT)
        elif waits:
            self._socket.settimeout(min(GATHER_SECONDS, self._detector.seconds))
        while self._rest:
            failure = self._failure or self._fill()
            if self._held:
                self._sink.write(self._buffer[: self._held])
                self._rest -= self._held
                self._held = 0
            if failure is not None and self._rest:
                raise failure
        self._sink.complete()
        if waits:
            self._socket.setblocking(False)
        connection.take(self._length)
        connection.end_exchange()

    def _fill(self) -> httpx.TransportError | None:
        """Receive enough bytes to write; return the error that ended it."""
        # TLS arrives in records of 16 KiB, so that each line in this loop runs 65,536 times for a GiB.
        receive, now, buffer, held = self._socket.recv_into, time.monotonic, self._buffer, self._held
        most, enough = min(len(buffer), self._rest), min(len(buffer) // 2, self._rest)
        began = now()
        try:
            while held < enough:
                count = receive(buffer[held:most])
                if not count or self._interrupted:
                    return broken(CUT_SHORT)
                held += count
                if now() > began + GATHER_SECONDS:
                    break
        except TimeoutError:
            self._silent += now() - began
            if not held and self._silent >= self._detector.seconds:
                return httpx.ReadTimeout("no bytes in time")
        except OSError as error:
            return broken("the connection broke", error)
        finally:
            arrived, self._held = held - self._held, held
        if arrived:
            self._silent = 0.0
        reason = self._detector.stall(now() - began, arrived)
        return httpx.ReadTimeout(reason) if reason else None
