"""The operations on one file: write it to the disk, read it into memory, or stream its bytes."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import attrs

from wbfiles_async._disk.part_file import check_new_file
from wbfiles_async._disk.paths import TargetPath, target_below
from wbfiles_async._download.contents import read_bytes, stream
from wbfiles_async._download.file import FileDownload
from wbfiles_async._download.progress import Progress
from wbfiles_async._download.small_files import SmallFiles
from wbfiles_async._store.reader import StoreReader
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async.errors import DestinationExistsError

__all__ = ["OneFile"]


@attrs.frozen(eq=False)
class OneFile:
    """One file, ready to be transferred; ``AsyncFile`` documents its methods.

    Args:
        reader: Reads its bytes.
        small_files: Downloads it if it is small.
        name: The file's name in the run.
        known: The file; ``None`` if it must be looked up.
        look_up: Looks it up.
    """

    _reader: StoreReader
    _small_files: SmallFiles
    _name: str
    _known: RemoteFile | None
    _look_up: Callable[[], Awaitable[RemoteFile]]

    async def fetch(
        self,
        root: str | os.PathLike[str],
        *,
        replace: bool,
        exist_ok: bool,
        progress: Progress | None,
        target: TargetPath | None = None,
    ) -> Path:
        """Download to ``root/name``, or to a path chosen by the caller."""
        target = target or target_below(root, self._name, portable=self._reader.options.portable_names)
        try:
            known, small_files = self._known, self._small_files
            if progress is None and known is not None and await small_files.download(known, target, replace=replace):
                return target.path
            mode = await self._reader.disk.run(check_new_file, target, replace=replace)
            download = FileDownload(
                reader=self._reader,
                file=await self._file(),
                target=target,
                mode=mode,
                replace=replace,
                progress=progress,
            )
            await download.run()
        except DestinationExistsError:  # it existed, or another process created it meanwhile
            if not exist_ok:
                raise
        return target.path

    async def read_bytes(self) -> bytes:
        """Read the whole file into memory."""
        return await read_bytes(self._reader, await self._file())

    async def stream(self, start: int, stop: int | None) -> AsyncGenerator[bytes]:
        """Yield the bytes ``[start, stop)`` as they arrive."""
        async with aclosing(stream(self._reader, await self._file(), start, stop)) as pieces:
            async for piece in pieces:
                yield piece

    async def _file(self) -> RemoteFile:
        return self._known or await self._look_up()
