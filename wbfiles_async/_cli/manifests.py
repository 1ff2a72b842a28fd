"""Write a manifest beside a download, in threads, so that the disk it is on does not hold up what is downloaded."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio

from wbfiles_async._disk.executor import Disk
from wbfiles_async._download.manifest import ManifestWriter
from wbfiles_async._reports import FileResult
from wbfiles_async._tasks import open_task_group

__all__ = ["open_manifest"]


@asynccontextmanager
async def open_manifest(path: Path) -> AsyncIterator[Callable[[FileResult], None]]:
    """Yield what adds a file's result to a manifest, which appears when the block ends without an error, whole.

    Args:
        path: Where to; parquet if it ends with ``.parquet``, else JSON lines.

    Raises:
        ConfigurationError: It is to be parquet, and pyarrow is not installed.
        OSError: The file cannot be written; the block is cancelled then.
    """
    disk = Disk()
    try:
        writer = await disk.run(ManifestWriter, path)
        try:
            async with _written_by(partial(disk.run, writer.add)) as add:
                yield add
        except BaseException:
            with anyio.CancelScope(shield=True):
                await disk.run(writer.abandon)
            raise
        await disk.run(writer.finish)
    finally:
        disk.close()


@asynccontextmanager
async def _written_by(write: Callable[..., Awaitable[None]]) -> AsyncIterator[Callable[[FileResult], None]]:
    """Yield what takes results, all of which are handed to ``write`` until the block is left, as many as wait."""
    send, receive = anyio.create_memory_object_stream[FileResult](math.inf)

    async def write_all() -> None:
        with receive:
            async for result in receive:
                waiting = receive.statistics().current_buffer_used
                await write(result, *(receive.receive_nowait() for _ in range(waiting)))

    async with open_task_group() as group:
        group.start_soon(write_all)
        with send:
            yield send.send_nowait
