"""Reads any ranges of one stored object, and never of two: the basis of open files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import IO, Final

from wbfiles_async._download.contents import check_md5
from wbfiles_async._download.read_ahead import cut, merge
from wbfiles_async._download.recovery import FileRecovery
from wbfiles_async._md5 import new_md5
from wbfiles_async._ranges import Range
from wbfiles_async._retry.attempts import attempts
from wbfiles_async._retry.failure import RequestFailed, RetryAction
from wbfiles_async._store.reader import StoreReader
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async._store.sink import RangeSink
from wbfiles_async._tasks import open_task_group
from wbfiles_async.errors import ObjectChangedError, TransferError

__all__ = ["RandomAccess"]

IN_MEMORY: Final = 8 << 20
"""Maximum bytes in memory of a file that can only be downloaded whole; larger ones go to a temporary file."""

PARTS: Final = 4
"""Concurrent requests for one long range."""


class RandomAccess:
    """One file, open for random access.

    All bytes are of the object that was read first: by the store's ETag, and by the file's attributes if they
    are requested again.

    If the store does not support ranges, the file is downloaded whole, once, and verified. Survives a fork: the
    child uses its own connections.

    Args:
        reader: Returns the reader of the running event loop.
        prepare: Returns the file to read from, a new object at each call.
    """

    def __init__(self, reader: Callable[[], StoreReader], prepare: Callable[[], Awaitable[RemoteFile]]) -> None:
        self._reader = reader
        self._prepare = prepare
        self._file: RemoteFile | None = None
        self._whole: IO[bytes] | None = None
        self._size: int | None = None
        self._size_was_used = self._has_read = False
        self._begin()

    def _begin(self) -> None:
        """Initialize for this process."""
        self._process = os.getpid()
        self._object = 0
        self._fetching = asyncio.Lock()
        self._seeking = threading.Lock()

    @property
    def size(self) -> int:
        """Length in bytes, which cannot change once it was used."""
        self._size_was_used = True
        return self.end

    @property
    def end(self) -> int:
        """Length in bytes as far as known; that of a compressed file is known once it is read."""
        return self._size or 0

    @property
    def name(self) -> str:
        """The file's name in the run, once the file is open."""
        return "" if self._file is None else self._file.name

    @property
    def md5(self) -> bytes | None:
        """The 16 bytes of the md5 that the API states of the file, once the file is open."""
        return None if self._file is None else self._file.stated_md5

    async def open(self) -> None:
        """Look the file up; download it whole if its length is unknown.

        Raises:
            WBFilesError: It cannot be read.
        """
        file = await self._opened()
        if self._size is None:
            self._size = file.size
        if self._size is None:
            await self._fetch_whole(file)

    async def read(self, start: int, stop: int) -> bytes:
        """Return bytes ``[start, stop)``, or fewer at the end of the file.

        Raises:
            ObjectChangedError: The file was replaced since it was opened.
            WBFilesError: They cannot be read.
        """
        file = await self._opened()
        if self._whole is None and start < (within := min(stop, self.end)):
            try:
                return await self._range(file, start, within)
            except RequestFailed as failure:
                if failure.action is RetryAction.RESTART:
                    raise _changed(file) from failure.error
                if failure.action not in (RetryAction.FETCH_WHOLE, RetryAction.DECODE):
                    raise failure.error from failure.__cause__
                file.encoded |= failure.action is RetryAction.DECODE
                await self._fetch_whole(file)
        if start >= min(stop, self.end):
            return b""
        return await self._reader().disk.run(self._read_whole, start, stop)

    async def read_many(self, wanted: Sequence[Range]) -> list[bytes]:
        """Return the bytes of several ranges; adjacent ones are requested together, others concurrently.

        Raises:
            ObjectChangedError: The file was replaced since it was opened.
            WBFilesError: They cannot be read.
        """
        size = self.size
        within = [Range(min(each.start, size), min(each.stop, size)) for each in wanted]
        needed = merge(within)
        found: list[bytes] = [b""] * len(needed)

        async def fetch(index: int) -> None:
            found[index] = await self.read(needed[index].start, needed[index].stop)

        async with open_task_group() as group:
            for index in range(len(needed)):
                group.start_soon(fetch, index)
        parts = list(zip(needed, found, strict=True))
        return [cut(each, parts) for each in within]

    def close(self) -> None:
        """Release the temporary file, if there is one."""
        whole, self._whole = self._whole, None
        if whole is not None:
            whole.close()

    async def _opened(self) -> RemoteFile:
        before = self._file
        if before is not None and self._process == os.getpid():
            return before
        if before is not None:  # forked: the lock may be held, and the temporary file's position is the parent's too
            self.close()
            self._begin()
        file = await self._prepare()
        if before is not None:
            file.attributes = before.attributes
            file.etag, file.encoded, file.unranged = before.etag, before.encoded, before.unranged
        self._file, self._object = file, file.object
        return file

    async def _range(self, file: RemoteFile, start: int, stop: int) -> bytes:
        if file.encoded or file.unranged:
            raise RequestFailed(RetryAction.FETCH_WHOLE, _changed(file))
        reader, target = self._reader(), bytearray(stop - start)

        def keep(offset: int, piece: bytes | memoryview) -> None:
            target[offset - start : offset - start + len(piece)] = piece

        async def fetch(part: Range) -> None:
            await reader.save(file, RangeSink(part.start, part.stop, keep), lambda _: None)

        async with open_task_group() as group:
            for part in _parts(Range(start, stop), reader.options.part_size):
                group.start_soon(fetch, part)
        if file.object != self._object:
            raise _changed(file)
        data = bytes(target)
        if start == 0 and stop == file.size and reader.options.verify:
            await reader.disk.run(lambda: check_md5(file, new_md5(data).digest()))
        self._has_read = True
        return data

    async def _fetch_whole(self, file: RemoteFile) -> None:
        """Download all of it into memory, or a temporary file, and verify it; concurrent callers wait."""
        async with self._fetching:
            if self._whole is not None:
                return
            etag = file.etag
            whole = await self._saved(file)
            length = whole.seek(0, os.SEEK_END)
            try:
                self._check_whole(file, etag, length)
            except BaseException:
                whole.close()
                raise
            self._whole, self._size = whole, length

    async def _saved(self, file: RemoteFile) -> IO[bytes]:
        reader, recovery = self._reader(), FileRecovery(file)
        whole: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # closed with this
        try:
            async for attempt in attempts(recovery.recover):
                with attempt, recovery.attempt():
                    digest = new_md5()
                    whole.seek(0)
                    whole.truncate()

                    def keep(offset: int, piece: bytes | memoryview, digest: hashlib._Hash = digest) -> None:
                        whole.write(piece)
                        digest.update(piece)

                    def check(digest: hashlib._Hash = digest) -> None:
                        if reader.options.verify:
                            check_md5(file, digest.digest())

                    await reader.save(file, RangeSink(0, file.size, keep, check), lambda _: None)
        except BaseException:
            whole.close()
            raise
        return whole

    def _check_whole(self, file: RemoteFile, etag: str | None, length: int) -> None:
        if file.object != self._object or (etag and file.etag and etag != file.etag):
            raise _changed(file)
        if length == self._size:
            return
        if self._size_was_used or self._has_read:
            raise TransferError(
                f"{file.name}: the store keeps this file compressed. It has {length} bytes, where {self._size} are "
                "stored, and places in it have no meaning there. Use read_bytes() or stream() instead.",
                name=file.name,
            )

    def _read_whole(self, start: int, stop: int) -> bytes:
        assert self._whole is not None  # noqa: S101
        with self._seeking:
            self._whole.seek(start)
            return self._whole.read(stop - start)


def _parts(wanted: Range, usual: int) -> list[Range]:
    """Split a long range into several requests."""
    length = max(usual, -(-wanted.length // PARTS))
    return [Range(start, min(start + length, wanted.stop)) for start in range(wanted.start, wanted.stop, length)]


def _changed(file: RemoteFile) -> ObjectChangedError:
    return ObjectChangedError(
        f"{file.name}: the file was replaced after it was opened, and bytes of two files are never mixed. Open it "
        "again to read what is there now.",
        name=file.name,
    )
