"""Files open for writing: buffered until they are closed, then uploaded as a whole."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TypeAlias

__all__ = ["IN_MEMORY", "AsyncWriter", "Draft", "Writer"]

IN_MEMORY: Final = 32 << 20
"""Maximum bytes in memory; more go to a temporary file."""

Send: TypeAlias = "Callable[[bytes | memoryview | Path], Awaitable[None]]"
"""Uploads bytes or a local file."""


class Draft:
    """The buffered bytes: in memory, or in a temporary file."""

    def __init__(self) -> None:
        self._memory: io.BytesIO | None = io.BytesIO()
        self._file: IO[bytes] | None = None
        self.size = 0

    def write(self, data: Any) -> int:
        """Add bytes, and return their number."""
        count = memoryview(data).nbytes
        if self._memory is not None and self.size + count > IN_MEMORY:
            self._file = tempfile.NamedTemporaryFile(prefix="wbfiles-", delete=False)  # noqa: SIM115  # until `discard`
            self._file.write(self._memory.getbuffer())
            self._memory = None
        into = self._memory if self._memory is not None else self._file
        if into is None:
            raise ValueError("I/O operation on a closed file.")
        into.write(data)
        self.size += count
        return count

    def flush(self) -> None:
        """Do nothing; required by compressors."""

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.size

    def content(self) -> memoryview | Path:
        """Return the contents: bytes, or the temporary file."""
        if self._memory is not None:
            return self._memory.getbuffer()
        if self._file is None:
            raise ValueError("I/O operation on a closed file.")
        self._file.flush()
        return Path(self._file.name)

    def discard(self) -> None:
        """Discard the contents; a second call does nothing."""
        file, self._file, self._memory = self._file, None, None
        if file is not None:
            file.close()
            Path(file.name).unlink(missing_ok=True)


class Writer(io.RawIOBase):
    """A file open for writing. It is uploaded when it is closed, but not if its ``with`` block fails.

    Args:
        path: Its path in the file system.
        send: Uploads it, and waits for that.
        autocommit: Whether closing uploads it; otherwise ``commit`` does, as at the end of fsspec's transactions.
    """

    def __init__(
        self, path: str, send: Callable[[memoryview | Path], None], *, mode: str = "wb", autocommit: bool = True
    ) -> None:
        super().__init__()
        self.path = path
        self.mode = mode
        self._send = send
        self._autocommit = autocommit
        self._draft = Draft()
        self._compressor: IO[bytes] | None = None
        self._process = os.getpid()

    def compress(self, start: Callable[..., IO[bytes]]) -> None:
        """Compress all further bytes; closing this file also closes the compressor.

        Args:
            start: Returns a file object that compresses into a file, like those of ``fsspec.compression``.
        """
        self._compressor = start(self._draft, mode="w")

    def writable(self) -> bool:
        """Return true."""
        return True

    def write(self, data: Any, /) -> int:
        """Add bytes, and return their number."""
        if self.closed:
            raise ValueError("I/O operation on a closed file.")
        return self._draft.write(data) if self._compressor is None else self._compressor.write(data)

    def tell(self) -> int:
        """Return the number of bytes to upload so far."""
        return self._draft.size

    def close(self) -> None:
        """Upload it; a second call does nothing."""
        if self.closed:
            return
        super().close()
        if self._compressor is not None:
            self._compressor.close()
        if self._autocommit:
            self.commit()

    def commit(self) -> None:
        """Upload it; it must be closed."""
        try:
            self._send(self._draft.content())
        finally:
            self.discard()

    def discard(self) -> None:
        """Discard what was written."""
        if self._process == os.getpid():  # the temporary file of a parent process belongs to the parent
            self._draft.discard()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._give_up()
        self.close()

    def __del__(self) -> None:
        if not self.closed:  # never closed, so the contents may be incomplete
            self._give_up()
            self.close()

    def _give_up(self) -> None:
        self._autocommit, self._compressor = False, None
        self.discard()


class AsyncWriter:
    """An async file open for writing; otherwise like `Writer`.

    Args:
        path: Its path in the file system.
        send: Uploads it.
    """

    mode = "wb"

    def __init__(self, path: str, send: Send) -> None:
        self.path = path
        self._send = send
        self._draft = Draft()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        else:
            self._closed = True
            self._draft.discard()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    async def write(self, data: Any) -> int:
        """Add bytes, and return their number."""
        if self._closed:
            raise ValueError("I/O operation on a closed file.")
        return self._draft.write(data)

    async def close(self) -> None:
        """Upload it; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._send(self._draft.content())
        finally:
            self._draft.discard()
