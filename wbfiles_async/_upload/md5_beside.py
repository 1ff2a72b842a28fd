"""Computes the md5 in another thread than the one that reads and sends. Blocking."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, Self

from wbfiles_async._md5 import new_md5
from wbfiles_async._threads import ThreadsExhaustedError

__all__ = ["BLOCK_BYTES", "Md5Beside"]

BLOCK_BYTES: Final = 256 << 10
"""Bytes per block: few enough for the processor's caches, many enough to rarely need Python's lock."""

HELD_BLOCKS: Final = 8
"""Maximum blocks that have been read but not hashed, so that the sender rarely waits for the md5."""

START_SECONDS: Final = 1.0
"""Seconds for a thread to start, after which this thread does its work."""


class Md5Beside:
    """Buffers for the blocks of a file, and their md5.

    Use as a context manager, in one thread. A buffer is reused after its block has been hashed and the next one
    requested.

    Args:
        begin: Starts work in another thread.
        size: Bytes of the file.
    """

    def __init__(self, begin: Callable[[Callable[[], None]], Future[None]], size: int) -> None:
        self._digest = new_md5()
        self._free = SimpleQueue[memoryview]()
        self._filled = SimpleQueue[tuple[memoryview, memoryview] | None]()
        for _ in range(min(HELD_BLOCKS, -(-size // BLOCK_BYTES))):
            self._free.put(memoryview(bytearray(BLOCK_BYTES)))
        self._buffer = memoryview(b"")
        self._is_abandoned = False
        self._thread: Future[None] | None = None
        with suppress(ThreadsExhaustedError):
            self._thread = begin(self._follow)

    def buffer(self) -> memoryview:
        """Return a buffer to read into. Blocks while md5 does not keep up."""
        if self._thread is not None:
            try:
                self._buffer = self._free.get(timeout=START_SECONDS)
                return self._buffer
            except Empty:
                if self._thread.cancel():
                    self._thread = None
        if self._thread is None:
            self._digest_filled()
        self._buffer = self._free.get()
        return self._buffer

    def add(self, block: memoryview) -> None:
        """Hash a block that was read into the last buffer."""
        self._filled.put((self._buffer, block))

    def value(self) -> bytes:
        """Return the md5 of all blocks. Blocks until it is computed."""
        self._end()
        return self._digest.digest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_abandoned = True
        self._end()

    def _end(self) -> None:
        self._filled.put(None)
        if self._thread is None or self._thread.cancel():
            self._digest_filled()
        else:
            self._thread.result()

    def _digest_filled(self) -> None:
        while not self._filled.empty():
            self._digest_next()

    def _follow(self) -> None:
        while self._digest_next():
            pass

    def _digest_next(self) -> bool:
        """Hash the next block; return whether there may be another."""
        filled = self._filled.get()
        if filled is None or self._is_abandoned:
            return False
        buffer, block = filled
        self._digest.update(block)
        self._free.put(buffer)
        return True
