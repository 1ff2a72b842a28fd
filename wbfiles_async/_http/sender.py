"""Sends one request with its body in a worker thread with blocking calls, mostly without Python's lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing

import httpx

from wbfiles_async._http.connection import Connection
from wbfiles_async._http.extensions import StallLimit
from wbfiles_async._http.readiness import block_until_ready
from wbfiles_async._http.stall import StallDetector

__all__ = ["RequestSender"]


class RequestSender:
    """Sends a request over a connection, and stops if the server responds early or disconnects.

    Args:
        connection: An idle connection, which nothing else uses meanwhile.
        head: The request's head.
        blocks: Returns the body in pieces, each valid until the next one is requested. Called, iterated and closed
            in the thread; may block.
        limit: The minimum that the server must accept.
        on_sent: Called in the thread with the length of each piece sent. An exception ends the request.
    """

    def __init__(
        self,
        connection: Connection,
        head: bytes,
        blocks: Callable[[], Generator[bytes | memoryview]],
        limit: StallLimit,
        on_sent: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._head = head
        self._blocks = blocks
        self._detector = StallDetector(limit.seconds, limit.least)
        self._on_sent = on_sent
        self._interrupted = False

    def interrupt(self) -> None:
        """Make ``run`` return soon. Called from other threads."""
        self._interrupted = True
        self._connection.abort()

    def run(self) -> bool:
        """Send all of it. Blocks.

        Returns:
            Whether all of it was sent. If not, the connection cannot be reused.

        Raises:
            httpx.WriteTimeout: The server accepted too little in time.
            Exception: The exception of the body.
        """
        self._connection.begin_exchange()
        if not self._send(self._head):
            return False
        with closing(self._blocks()) as blocks:
            for block in blocks:
                if not self._send(block):
                    return False
                self._on_sent(len(block))
        return True

    def _send(self, data: bytes | memoryview) -> bool:
        connection, rest = self._connection, memoryview(data)
        while rest := rest[(count := connection.send(rest)) :]:
            if connection.has_ended:
                connection.receive()  # its response before it disconnected
            if connection.has_ended or self._interrupted:
                return False
            since = time.monotonic()
            if not block_until_ready(connection.socket, self._detector.seconds):
                raise httpx.WriteTimeout("nothing could be sent in time")
            while connection.receive() and not connection.held:
                pass
            if connection.held or connection.has_ended:
                return False
            if reason := self._detector.stall(time.monotonic() - since, count):
                raise httpx.WriteTimeout(reason)
        return not self._interrupted
