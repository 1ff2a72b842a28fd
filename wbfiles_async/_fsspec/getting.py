"""Copies files of runs to local paths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from fsspec.callbacks import DEFAULT_CALLBACK, Callback

from wbfiles_async._download.planned import ListedFiles
from wbfiles_async._fsspec.copies import Copies, Copy, Progress, plan_copies
from wbfiles_async._fsspec.errors import not_found, raise_failure
from wbfiles_async._fsspec.places import place_at, place_of
from wbfiles_async._fsspec.remote import Remote
from wbfiles_async._options import PER_PAGE
from wbfiles_async._tasks import open_task_group

__all__ = ["get_file", "get_many"]

FETCHES: Final = 64
"""Maximum files copied concurrently under another name; the client limits the requests further."""


async def get_file(remote: Remote, path: str, target: Any, callback: Callback) -> None:
    """Copy one file to a local path, complete and verified, or into an open file.

    Args:
        remote: The server.
        path: The file; for a folder, the local folder is created.
        target: The local path, or the open file.
        callback: Receives the number of bytes.
    """
    is_open = hasattr(target, "write")
    if not is_open and await remote.is_folder(path):
        Path(target).mkdir(parents=True, exist_ok=True)
        return
    attributes = await remote.required(path)
    file = remote.file(place_of(path).run, attributes)
    if not is_open:
        progress = None if callback is DEFAULT_CALLBACK else Progress({file.name: callback})
        await file.fetch(replace=True, path=target, progress=progress)
        return
    callback.set_size(attributes.size_bytes)
    async with aclosing(file.stream()) as pieces:
        async for piece in pieces:
            await asyncio.to_thread(target.write, piece)
            callback.relative_update(len(piece))


async def get_many(remote: Remote, pairs: Sequence[tuple[str, str]], callback: Callback) -> None:
    """Copy many files concurrently to local paths; each is verified.

    Args:
        remote: The server.
        pairs: Paths and their local paths; for folders, the local folders are created.
        callback: Receives the number of files; its branches receive the bytes of each file.
    """
    copies = [copy for copy in await asyncio.gather(*(_copy_of(remote, *pair) for pair in pairs)) if copy is not None]
    callback.set_size(len(copies))
    children = {f"{copy.run}/{copy.file.name}": callback.branched(str(copy.run), copy.target) for copy in copies}
    watched = {name: child for name, child in children.items() if child is not DEFAULT_CALLBACK}
    progress = Progress(watched) if watched else None
    groups, renamed = plan_copies(copies)
    for group in groups:
        await _get_group(remote, group, callback, progress)
    limit = asyncio.Semaphore(FETCHES)

    async def fetch(copy: Copy) -> None:
        async with limit:
            file = remote.file(copy.run, copy.file)
            child = children[f"{copy.run}/{copy.file.name}"]
            child_progress = None if child is DEFAULT_CALLBACK else Progress({file.name: child})
            await file.fetch(replace=True, path=copy.target, progress=child_progress)
        callback.relative_update(1)

    async with open_task_group() as tasks:
        for copy in renamed:
            tasks.start_soon(fetch, copy)


async def _copy_of(remote: Remote, path: str, target: str) -> Copy | None:
    """Return the copy of a file; for a folder, create the local folder and return ``None``."""
    place = place_at(path)
    file = await remote.find_file(place)
    if file is not None:
        return Copy(place.run, file, target)
    if not await remote.is_folder(path):
        raise not_found(path)
    Path(target).mkdir(parents=True, exist_ok=True)
    return None


async def _get_group(remote: Remote, group: Copies, callback: Callback, progress: Progress | None) -> None:
    async def listed() -> AsyncGenerator[list[ListedFiles]]:
        for first in range(0, len(group.files), PER_PAGE):
            some = group.files[first : first + PER_PAGE]
            yield [ListedFiles(group.run, some, label=f"{group.run}/", within=group.within)]

    async with aclosing(listed()) as pages:
        report = await remote.gateway.download_listed(
            pages, Path(group.root), progress=progress, on_result=lambda _: callback.relative_update(1)
        )
    raise_failure(report)
