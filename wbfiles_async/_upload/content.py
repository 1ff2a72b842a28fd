"""The content of uploads: a local file, or bytes in memory; and the md5 of the sent bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import attrs

from wbfiles_async._disk.executor import Disk
from wbfiles_async._disk.reading import LocalFile, ReadFile
from wbfiles_async._md5 import new_md5
from wbfiles_async._store.writer import Blocks, Content, OpenContent
from wbfiles_async._upload.md5_beside import Md5Beside

__all__ = ["BytesContent", "FileContent", "UploadContent"]

PIECE_BYTES: Final = 1 << 20
"""Bytes per read: with fewer the hand-over to a thread costs more than reading and the md5."""

SHORT_BYTES: Final = 64 << 10
"""Maximum bytes in memory whose md5 is computed in the event loop: a tenth of a millisecond."""


class UploadContent(Content, Protocol):
    """Content that can be compared with a server's listing.

    Attributes:
        path: The local file, if it is one.
        md5: The md5 of the bytes sent last; ``None`` before, and if it is not computed.
        sent: Their number.
    """

    @property
    def path(self) -> Path | None: ...

    @property
    def md5(self) -> bytes | None: ...

    @property
    def sent(self) -> int: ...

    async def has(self, size: int, md5: bytes) -> bool:
        """Return whether it has this length and md5 now."""
        ...


@attrs.define(eq=False)
class FileContent:
    """A local file.

    Args:
        file: The file.
        disk: Threads that read it.
        digests: Whether the md5 of what is sent is computed.
    """

    _file: LocalFile
    _disk: Disk
    digests: bool = True
    md5: bytes | None = attrs.field(default=None, init=False)
    sent: int = attrs.field(default=0, init=False)

    @property
    def path(self) -> Path | None:
        """The local file."""
        return self._file.path

    async def has(self, size: int, md5: bytes) -> bool:
        """Return whether it has this length and md5 now.

        Raises:
            LocalReadError: It cannot be read, or changes meanwhile.
        """
        run = self._disk.run_batched if size <= PIECE_BYTES else self._disk.run
        return await run(self._file.md5, size) == md5

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenContent]:
        """Open it; a file of one piece is read immediately.

        Raises:
            LocalReadError: It does not exist, cannot be read, or is not a regular file.
        """
        self.md5 = None
        opened, whole = await self._disk.run_batched(self._begin)
        try:
            yield _Opened(self, opened, whole)
        finally:
            if whole is None:
                await self._disk.run_batched(opened.close)

    def _begin(self) -> tuple[ReadFile, bytes | None]:
        opened = self._file.open()
        if opened.size > PIECE_BYTES:
            return opened, None
        with opened:
            whole = b""
            while len(whole) < opened.size:
                whole += opened.read(len(whole), opened.size)
            opened.check_unchanged()
        self.record(whole, new_md5(whole).digest() if self.digests else None)
        return opened, whole

    def record(self, whole: bytes, md5: bytes | None) -> None:
        """Record sent bytes."""
        self.sent, self.md5 = len(whole), md5

    async def read_ahead(self, opened: ReadFile) -> AsyncGenerator[bytes]:
        """Read a large file, one piece ahead; the last one is held back until the file is known to be unchanged."""
        size, digest = opened.size, new_md5()
        disk, digests = self._disk, self.digests

        def read(offset: int) -> bytes:
            piece = opened.read(offset, PIECE_BYTES)
            if digests:
                digest.update(piece)
            if offset + len(piece) == size:
                opened.check_unchanged()
            return piece

        offset = 0
        ahead = asyncio.ensure_future(disk.run(read, 0))
        try:
            while offset < size:
                piece = await ahead
                offset += len(piece)
                if offset < size:
                    ahead = asyncio.ensure_future(disk.run(read, offset))
                else:
                    self.sent, self.md5 = size, digest.digest() if digests else None
                yield piece
        finally:
            if not ahead.done():  # a closed file must not be read
                ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    def read_blocks(self, opened: ReadFile) -> Generator[bytes | memoryview]:
        """Read a large file for a thread that sends it; otherwise as ``read_ahead``. Blocking."""
        with Md5Beside(self._disk.begin_following, opened.size) as md5:
            for block in _blocks_of(opened, md5.buffer):
                md5.add(block)
                yield block
            self.sent, self.md5 = opened.size, md5.value()


def _blocks_of(opened: ReadFile, buffer: Callable[[], memoryview]) -> Iterator[memoryview]:
    offset = 0
    while offset < opened.size:
        block = opened.read_into(offset, buffer())
        offset += len(block)
        if offset == opened.size:
            opened.check_unchanged()
        yield block


@attrs.frozen(eq=False)
class _Opened:
    _content: FileContent
    _file: ReadFile
    _whole: bytes | None

    @property
    def size(self) -> int:
        return self._file.size

    def pieces(self) -> AsyncGenerator[bytes | memoryview]:
        return self._content.read_ahead(self._file) if self._whole is None else _pieces_of(self._whole)

    @property
    def blocks(self) -> Blocks | None:
        # Without the md5 a thread was slower than the loop, which reads ahead in another: 2.7 against 2.3 s for a GiB.
        is_worth_it = self._whole is None and self._content.digests
        return partial(self._content.read_blocks, self._file) if is_worth_it else None


@attrs.define(eq=False)
class BytesContent:
    """Bytes in memory, which must not change.

    Args:
        data: The bytes.
        disk: Threads that compute the md5 of many.
        digests: Whether the md5 is computed.
    """

    _data: bytes | memoryview
    _disk: Disk
    _digests: bool = True
    md5: bytes | None = attrs.field(default=None, init=False)

    @property
    def path(self) -> Path | None:
        """It is not a local file."""
        return None

    @property
    def size(self) -> int:
        """Length in bytes."""
        return memoryview(self._data).nbytes

    @property
    def sent(self) -> int:
        """The same."""
        return self.size

    async def has(self, size: int, md5: bytes) -> bool:
        """Return whether it has this length and md5."""
        return size == self.size and await self._digest() == md5

    async def _digest(self) -> bytes:
        data = memoryview(self._data).cast("B")
        digest = new_md5(data) if len(data) <= SHORT_BYTES else await self._disk.run(new_md5, data)
        return digest.digest()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenContent]:
        """Open it."""
        if self._digests and self.md5 is None:
            self.md5 = await self._digest()
        yield self

    def pieces(self) -> AsyncGenerator[bytes | memoryview]:
        """Return the bytes, in pieces."""
        return _pieces_of(self._data)

    @property
    def blocks(self) -> Blocks | None:
        """The event loop sends them, since nothing has to be read and their md5 is known."""
        return None


async def _pieces_of(data: bytes | memoryview) -> AsyncGenerator[bytes | memoryview]:
    view = memoryview(data).cast("B")
    for start in range(0, len(view), PIECE_BYTES):
        if start:
            await asyncio.sleep(0)  # a fast connection would block the event loop until all is sent
        yield view[start : start + PIECE_BYTES]
