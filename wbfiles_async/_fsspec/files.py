"""Open files of the file system: over ranges of one object, or as one stream of bytes."""

# pyright: reportIncompatibleMethodOverride=false, reportArgumentType=false
# fsspec has no type annotations, and the types inferred from its defaults are too narrow.

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, ClassVar, Protocol

from fsspec.caching import BaseCache, register_cache
from fsspec.spec import AbstractBufferedFile

from wbfiles_async._download.random_access import RandomAccess
from wbfiles_async._download.read_ahead import ReadAhead
from wbfiles_async._fsspec.places import Info
from wbfiles_async._fsspec.waiting import wait_for
from wbfiles_async._options import BLOCK_SIZE
from wbfiles_async.errors import ObjectChangedError

__all__ = ["GrowingCache", "Opener", "WandbFile", "WandbStream"]


class Opener(Protocol):
    """The interface of the file system that files use."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of the blocking methods."""
        ...

    def _open(self, path: str, mode: str = ..., block_size: int | None = ..., **options: Any) -> Any:
        """Open a file."""
        ...


class GrowingCache(BaseCache):
    """Reads ahead like ``File.open``: increasing amounts during sequential reads, otherwise one block."""

    name: ClassVar[str] = "wandb"

    def __init__(self, blocksize: int, fetcher: Callable[[int, int], bytes], size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._ahead = ReadAhead(max(1, blocksize))

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        position, end = start or 0, self.size if stop is None else min(stop, self.size)
        pieces = []
        while position < end:
            piece = self._ahead.take(position, end)
            if piece is None:
                wanted = self._ahead.plan(position, end, self.size)
                data = self.fetcher(wanted.start, wanted.stop)
                self._ahead.keep(wanted.start, data)
                piece = data[position - wanted.start : end - wanted.start]
                self.miss_count += 1
                self.total_requested_bytes += len(data)
                if not piece:
                    break
            else:
                self.hit_count += 1
            pieces.append(piece)
            position += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


register_cache(GrowingCache, clobber=True)


class WandbFile(AbstractBufferedFile):
    """A file open for reading. All bytes are from one object; if the file is replaced, reading raises an error."""

    DEFAULT_BLOCK_SIZE = BLOCK_SIZE

    def __init__(
        self,
        fs: Opener,
        path: str,
        info: Info,
        access: RandomAccess,
        block_size: int | None = None,
        cache_type: str = GrowingCache.name,
        cache_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._access = access
        self._cache_type = cache_type
        self._details = info | {"size": access.size}
        super().__init__(
            fs,
            path,
            "rb",
            block_size=block_size or self.DEFAULT_BLOCK_SIZE,
            cache_type=cache_type,
            cache_options=dict(cache_options or {}),
            size=access.size,
        )

    def _fetch_range(self, start: int, end: int) -> bytes:
        return wait_for(self.fs.loop, self._access.read, start, end)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        super().close()
        self._access.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _open_again, (self.fs, self.path, self.blocksize, self._cache_type, self.loc, self._access.md5)


def _open_again(fs: Opener, path: str, block_size: int, cache_type: str, position: int, md5: bytes | None) -> WandbFile:
    """Open an unpickled file; raise an error if it was replaced since."""
    file: WandbFile = fs._open(path, block_size=block_size, cache_type=cache_type)
    if file._access.md5 != md5:
        raise ObjectChangedError(
            f"{path}: the file was replaced after it was opened and pickled. Open it again to read what is there now.",
            name=path,
        )
    file.seek(position)
    return file


class WandbStream(io.RawIOBase):
    """A file as one stream of bytes in order, whose md5 is compared at the end, for ``block_size=0``."""

    mode = "rb"

    def __init__(self, fs: Opener, path: str, pieces: AsyncGenerator[bytes]) -> None:
        super().__init__()
        self.fs = fs
        self.path = path
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read some of the next bytes, and return their number; 0 only at the end."""
        view = memoryview(buffer).cast("B")
        while not self._rest:
            piece = wait_for(self.fs.loop, _next, self._pieces)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(view), len(self._rest))
        view[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def close(self) -> None:
        """End the request."""
        if not self.closed:
            super().close()
            wait_for(self.fs.loop, self._pieces.aclose)


async def _next(pieces: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(pieces, None)
