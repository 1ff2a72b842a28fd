"""The md5 of a file that is being written, in a thread beside those that write."""

from __future__ import annotations

import threading
from collections import deque

from wbfiles_async._protocol.checksums import new_md5
from wbfiles_async._protocol.front import Front
from wbfiles_async._protocol.ranges import Range
from wbfiles_async._transfer.sink import Temporary

HELD_BYTES = 4 << 20
"""Bytes in memory that wait for the md5, about: enough that it never waits for the thread that brings them."""

DIGEST_BYTES = 2 << 20
"""Bytes read back in one go: few enough for the processor's caches, many enough to seldom ask for Python's lock."""


class Digest:
    """Follows the front of what has no gap.

    md5 is slower than a fast link, so that it should do nothing else: what comes in order is handed to it in memory,
    and whoever brings it waits where md5 does not keep up, rather than take its processor. What has come ahead of the
    front is read back from the file.

    Args:
        temporary: The file.
    """

    def __init__(self, temporary: Temporary) -> None:
        self._temporary = temporary
        self._digest = new_md5()
        # What is digested or about to be is [0, _next): the last of it may lie in _held.
        self._front = Front()
        self._next = 0
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        lock = threading.Lock()
        self._news, self._room = threading.Condition(lock), threading.Condition(lock)
        self._ended = self._abandoned = self._stopped = False

    @property
    def value(self) -> bytes:
        """The md5 of all that was written."""
        return self._digest.digest()

    def found(self, part: Range) -> None:
        """Say that a part was written before."""
        with self._news:
            self._front.written(part.start, part.stop)
            self._news.notify()

    def written(self, start: int, piece: bytes | memoryview) -> None:
        """Say that a piece is written. Blocks while md5 does not keep up with what comes in order."""
        with self._news:
            while start == self._next and self._held_bytes >= HELD_BYTES and not self._stopped:
                self._room.wait()
            if self._front.written(start, start + len(piece)):
                if start == self._next:
                    self._held.append(bytes(piece))
                    self._held_bytes += len(piece)
                    self._next += len(piece)
                self._news.notify()

    def end(self, *, abandoned: bool) -> None:
        """Say that nothing more will be written, or that nobody wants to know."""
        with self._news:
            self._ended, self._abandoned = True, abandoned
            self._news.notify()

    def follow(self) -> None:
        """Digest what is written, until the end. Blocks."""
        try:
            buffer = memoryview(bytearray(DIGEST_BYTES))
            while not self._abandoned:
                with self._news:
                    while not (self._held or self._front.stop - self._next >= DIGEST_BYTES or self._ended):
                        self._news.wait()
                    piece = self._held.popleft() if self._held else None
                    start = stop = self._next
                    if piece is None:
                        self._next = stop = min(self._front.stop, start + DIGEST_BYTES)
                if piece is not None:
                    self._digest.update(piece)
                    with self._room:
                        self._held_bytes -= len(piece)
                        self._room.notify()
                elif start < stop:
                    self._temporary.digest(self._digest, start, buffer[: stop - start])
                else:
                    return
        finally:
            with self._room:  # nobody may wait for a thread that has ended
                self._stopped = True
                self._room.notify_all()
