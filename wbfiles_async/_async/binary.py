"""A remote file that is open for reading: random access, with ranges requested as they are read."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import Self

from wbfiles_async._download.random_access import RandomAccess
from wbfiles_async._download.read_ahead import ReadAhead
from wbfiles_async.errors import ConfigurationError

__all__ = ["AsyncBinaryFile", "check_mode"]


class AsyncBinaryFile:
    """A file of a run, open for reading: seekable, with bytes requested in ranges as they are read.

    Reads ahead during sequential reads. All bytes are of the object that was opened: if it is replaced meanwhile,
    reading raises ``ObjectChangedError``. Made by ``AsyncFile.open``; use it as an async context manager, or close it.
    """

    mode = "rb"

    def __init__(self, access: RandomAccess, block_size: int) -> None:
        self._access = access
        self._ahead = ReadAhead(block_size)
        self._position = 0
        self._closed = False
        self._process, self._lock = os.getpid(), asyncio.Lock()

    def __repr__(self) -> str:
        return f"<AsyncBinaryFile {self.name!r}{' (closed)' if self._closed else ''}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("An open file is not pickled; pickle the AsyncFile, and open it in each process.")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def name(self) -> str:
        """The file's name in the run."""
        return self._access.name

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._access.size

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    async def read(self, size: int | None = -1) -> bytes:
        """Read from the current position on.

        Args:
            size: Maximum number of bytes; negative or ``None`` for all up to the end.

        Returns:
            The bytes; fewer than ``size`` only at the end of the file.

        Raises:
            ValueError: The file is closed.
            ObjectChangedError: The file was replaced since it was opened.
            WBFilesError: The bytes cannot be read; the position is unchanged.
        """
        async with self._exclusively():
            begun, pieces, left = self._position, list[bytes](), -1 if size is None else size
            try:
                while left and (piece := await self._next(left)):
                    pieces.append(piece)
                    left -= len(piece) if left > 0 else 0
            except BaseException:
                self._position = begun
                raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position. Makes no request.

        Args:
            offset: Bytes relative to ``whence``.
            whence: ``os.SEEK_SET`` (default), ``os.SEEK_CUR`` or ``os.SEEK_END``.

        Returns:
            The new position.

        Raises:
            ValueError: The file is closed, or the position would be negative.
        """
        return self._seek(offset, whence)

    async def tell(self) -> int:
        """Return the position.

        Raises:
            ValueError: The file is closed.
        """
        return self._seek(0, os.SEEK_CUR)

    async def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._close()

    def _close(self) -> None:
        self._closed = True
        self._ahead.forget()
        self._access.close()

    def _seek(self, offset: int, whence: int) -> int:
        self._check_open()
        match whence:
            case os.SEEK_SET:
                position = offset
            case os.SEEK_CUR:
                position = self._position + offset
            case os.SEEK_END:
                position = self.size + offset
            case _:
                raise ValueError(f"whence is 0, 1 or 2, not {whence!r}")
        if position < 0:
            raise ValueError(f"the position cannot be negative, as {position} is")
        self._position = position
        return position

    def _take(self, size: int) -> bytes | None:
        """Return the cached part of the next bytes, and advance; ``None`` if a request is needed."""
        self._check_open()
        stop = self._access.end if size < 0 else self._position + size
        data = self._ahead.take(self._position, stop)
        if data is not None:
            self._position += len(data)
        return data

    async def _some(self, size: int) -> bytes:
        """Return some of the next bytes like ``_next``, while no other task reads."""
        async with self._exclusively():
            return await self._next(size)

    async def _next(self, size: int) -> bytes:
        """Return some of the next bytes, requested if none are cached; empty at the end of the file."""
        if (kept := self._take(size)) is not None:
            return kept
        start, end = self._position, self._access.end
        if start >= end:
            return b""
        stop = end if size < 0 else min(end, start + size)
        wanted = self._ahead.plan(start, stop, end)
        data = await self._access.read(wanted.start, wanted.stop)
        self._check_open()
        self._ahead.keep(wanted.start, data)
        piece = data[start - wanted.start : None if size < 0 else stop - wanted.start]
        self._position = start + len(piece)
        return piece

    def _exclusively(self) -> asyncio.Lock:
        if self._process != os.getpid():  # forked, perhaps while another thread of the parent was reading
            self._process, self._lock = os.getpid(), asyncio.Lock()
        return self._lock

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("I/O operation on a closed file.")


def check_mode(mode: str, block_size: int) -> None:
    """Check the arguments of ``open``.

    Raises:
        ConfigurationError: The mode is not for reading bytes, or the block size is invalid.
    """
    if mode not in ("rb", "br"):
        raise ConfigurationError(
            f"A file of a run is opened for reading bytes, mode 'rb', not {mode!r}. For text use read_text(), or wrap "
            "what the blocking open returns in io.TextIOWrapper."
        )
    if block_size < 1:
        raise ConfigurationError(f"block_size is the bytes of one request, 1 or more, not {block_size}.")
