"""An open remote file without ``await``: Python's buffered reader on top of the async file."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from wbfiles_async._sync.portal import run_blocking

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from wbfiles_async._async.binary import AsyncBinaryFile

__all__ = ["open_blocking"]

BUFFER = 64 << 10
"""Maximum bytes in the buffer of Python's reader; requests are for whole blocks."""


class _RawFile(io.RawIOBase):
    """The raw file of Python's buffered reader. Returns cached bytes without a call to the I/O thread.

    Args:
        file: The async file.
        client: The client, referenced so that it is not closed while the file is open.
    """

    mode = "rb"

    def __init__(self, file: AsyncBinaryFile, client: object) -> None:
        super().__init__()
        self._file = file
        self._client = client

    @property
    def name(self) -> str:
        """The file's name in the run."""
        return self._file.name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file._seek(offset, whence)

    def tell(self) -> int:
        return self._file._seek(0, os.SEEK_CUR)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._file._take(len(view)) if len(view) else b""
        if data is None:
            data = run_blocking(self._file._some, len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return run_blocking(self._file.read)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file._close()


def open_blocking(file: AsyncBinaryFile, client: object) -> io.BufferedReader:
    """Return a binary file like that of Python's ``open``.

    Args:
        file: The async file.
        client: The client, referenced by the file.
    """
    return io.BufferedReader(_RawFile(file, client), min(BUFFER, file._ahead.block))
