"""The open file that a download returns."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from aiofiles.threadpool.text import AsyncTextIOWrapper

from wbfiles_async._disk.long_paths import openable
from wbfiles_async._threads import await_to_completion


class AsyncTextFile(AsyncTextIOWrapper):
    """An aiofiles text handle, open for reading, that is an async context manager itself.

    aiofiles gives such a manager only before its ``open`` is awaited, which here happens inside the download.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await await_to_completion(asyncio.ensure_future(self.close()))


async def open_text(path: Path) -> AsyncTextFile:
    """Open a file for reading as UTF-8 text, off the event loop; close it if cancelled."""
    opening = asyncio.get_running_loop().run_in_executor(None, partial(openable(path).open, "r", encoding="utf-8"))
    try:
        file = await await_to_completion(opening)
    except asyncio.CancelledError:
        if opening.exception() is None:
            opening.result().close()
        raise
    return AsyncTextFile(file, loop=asyncio.get_running_loop(), executor=None)
