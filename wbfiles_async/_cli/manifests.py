"""Write a manifest during a download, in threads, so that its disk does not block the download."""

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
    """Yield a function that adds a result to a manifest, which is published if the block succeeds.

    Args:
        path: The manifest; parquet if it ends with ``.parquet``, else JSON lines.

    Raises:
        ConfigurationError: It is parquet, and pyarrow is not installed.
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
    """Yield a function that queues results, which are passed to ``write`` in batches before the block ends."""
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
