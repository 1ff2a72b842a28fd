"""Writes one part of a large file to its part file, for the md5 and for resuming."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from wbfiles_async._disk.part_file import PartFile
from wbfiles_async._download.md5_stream import Md5Stream
from wbfiles_async._ranges import Range
from wbfiles_async._store.remote_file import RemoteFile

__all__ = ["PartWriter"]


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
