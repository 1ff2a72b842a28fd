"""Writes the parts of a large file to its part file, and computes the md5 of the whole meanwhile, in its own thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from wbfiles_async._disk.part_file import PartFile
from wbfiles_async._md5 import new_md5
from wbfiles_async._ranges import Range
from wbfiles_async._store.remote_file import RemoteFile

__all__ = ["ContiguousPrefix", "Md5Stream", "PartWriter"]

HELD_BYTES = 4 << 20
"""Bytes that wait in memory for the md5: enough that it never waits for the receiving thread."""

LEAST_BYTES = 2 << 20
"""Minimum bytes read back at a time, while more will arrive."""

MOST_BYTES = 8 << 20
"""Maximum bytes read back at a time, of all files together: each step waits for Python's lock, for several milliseconds
while many connections are busy, so an md5 that lags takes long ones."""

_at_work: Final = set["Md5Stream"]()
"""The streams of this process whose threads run."""


@attrs.define(eq=False)
class PartWriter:
    """Writes a part in order. Called in worker threads.

    Args:
        temporary: The part file.
        digest: The md5 of the whole file; ``None`` if it is not computed.
        file: The remote file, whose ETag is recorded with each range.
        start: The first byte.
        record_bytes: Bytes after which the part file records what is written, for resuming.
        may_record: Returns whether it records that.
    """

    _temporary: PartFile
    _digest: Md5Stream | None
    _file: RemoteFile
    _start: int = 0
    _record_bytes: int = 0
    _may_record: Callable[[], bool] = lambda: False
    _stop: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._stop = self._start

    def write(self, offset: int, piece: bytes | memoryview) -> None:
        """Write the next bytes."""
        self._temporary.write(offset, (piece,))
        if self._digest is not None:
            self._digest.written(offset, piece)
        self._stop = offset + len(piece)
        if self._stop - self._start >= self._record_bytes:
            self.complete()

    def complete(self) -> None:
        """Record what is written."""
        if self._stop > self._start and self._file.etag and self._may_record():
            self._temporary.note(Range(self._start, self._stop), self._file.etag)
            self._start = self._stop


class Md5Stream:
    """Hashes the contiguous prefix of a file while it is written.

    md5 is slower than a fast link, so its thread should do nothing else: bytes that arrive in order are passed to it
    in memory, and the writer waits if md5 does not keep up, rather than compete for the processor. Bytes after a gap
    are read back from the file.

    Args:
        temporary: The file.
    """

    def __init__(self, temporary: PartFile) -> None:
        self._temporary = temporary
        self._digest = new_md5()
        # [0, _next) is hashed or queued; its end may be in _held.
        self._prefix = ContiguousPrefix()
        self._next = 0
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        lock = threading.Lock()
        self._news, self._room = threading.Condition(lock), threading.Condition(lock)
        self._ended = self._abandoned = self._stopped = False

    @property
    def value(self) -> bytes:
        """The md5 of all written bytes."""
        return self._digest.digest()

    def found(self, part: Range) -> None:
        """Record a part of an earlier download."""
        with self._news:
            self._prefix.written(part.start, part.stop)
            self._news.notify()

    def written(self, start: int, piece: bytes | memoryview) -> None:
        """Record a written piece. Blocks while md5 does not keep up with bytes in order."""
        with self._news:
            while start == self._next and self._held_bytes >= HELD_BYTES and not self._stopped:
                self._room.wait()
            if self._prefix.written(start, start + len(piece)):
                if start == self._next:
                    self._held.append(bytes(piece))
                    self._held_bytes += len(piece)
                    self._next += len(piece)
                self._news.notify()

    def end(self, *, abandoned: bool) -> None:
        """Record that no more bytes follow, or that the md5 is not needed."""
        with self._news:
            self._ended, self._abandoned = True, abandoned
            self._news.notify()

    def follow(self) -> None:
        """Hash written bytes, until the end. Blocks."""
        try:
            _at_work.add(self)
            buffer = memoryview(b"")
            while not self._abandoned:
                most = max(LEAST_BYTES, MOST_BYTES // len(_at_work))
                with self._news:
                    while not (self._held or self._prefix.stop - self._next >= LEAST_BYTES or self._ended):
                        self._news.wait()
                    piece = self._held.popleft() if self._held else None
                    start = stop = self._next
                    if piece is None:
                        self._next = stop = min(self._prefix.stop, start + most)
                if piece is not None:
                    self._digest.update(piece)
                    with self._room:
                        self._held_bytes -= len(piece)
                        self._room.notify()
                elif start < stop:
                    if len(buffer) != most:
                        buffer = memoryview(bytearray(most))
                    self._temporary.digest(self._digest, start, buffer[: stop - start])
                else:
                    return
        finally:
            _at_work.discard(self)
            with self._room:  # no writer may wait for a thread that has ended
                self._stopped = True
                self._room.notify_all()


@attrs.define
class ContiguousPrefix:
    """The contiguous prefix of a file that is written in pieces, in any order.

    Attributes:
        stop: All bytes ``[0, stop)`` are written.
    """

    stop: int = 0
    _ahead: dict[int, int] = attrs.field(factory=dict)

    def written(self, start: int, stop: int) -> bool:
        """Record that ``[start, stop)`` is written; pieces do not overlap.

        Returns:
            Whether the prefix grew.
        """
        self._ahead[start] = stop
        before = self.stop
        while (reached := self._ahead.pop(self.stop, None)) is not None:
            self.stop = reached
        return self.stop > before
