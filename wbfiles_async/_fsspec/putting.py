"""Uploads to runs: bytes, local files, and copies of files on the server."""

from __future__ import annotations

import asyncio
import errno
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fsspec.callbacks import DEFAULT_CALLBACK, Callback

from wbfiles_async._fsspec.copies import Progress
from wbfiles_async._fsspec.errors import missing_as, raise_failure
from wbfiles_async._fsspec.places import FILE, place_at, place_of
from wbfiles_async._fsspec.remote import Remote
from wbfiles_async._fsspec.writing import IN_MEMORY
from wbfiles_async._models import Existing, RunPath
from wbfiles_async._reports import FileResult
from wbfiles_async._tasks import open_task_group
from wbfiles_async._upload.plan import FoundFile, GivenBytes, name_refusal

__all__ = ["check_target", "copy", "pipe_many", "put_many", "send"]

RUNS_AT_ONCE: Final = 16
"""Maximum runs to upload bytes to concurrently: each upload mostly waits for the API."""


def check_target(path: str, mode: str) -> Existing:
    """Check that a path can be that of a file, and return what to do with an existing one.

    Args:
        path: The path.
        mode: The mode of opening; ``xb`` does not replace an existing file.

    Raises:
        IsADirectoryError: It is the path of a run, project or entity.
        UnsafePathError: A file of this name could not be downloaded.
    """
    if place_of(path).depth < FILE:
        raise IsADirectoryError(
            errno.EISDIR,
            "the path of a file is ENTITY/PROJECT/RUN/name; runs and projects cannot be created here",
            path,
        )
    refusal = name_refusal(place_of(path).name)
    if refusal is not None:
        raise refusal
    return "error" if mode == "xb" else "replace"


async def send(
    remote: Remote,
    path: str,
    content: bytes | memoryview | Path,
    *,
    existing: Existing,
    progress: Progress | None = None,
) -> None:
    """Upload bytes or a local file, and verify it on the server."""
    place = place_at(path)
    uploads = remote.gateway.uploads()
    try:
        with missing_as(path):
            if isinstance(content, Path):
                await uploads.path(place.run, place.name, content, existing=existing, progress=progress)
            else:
                await uploads.data(place.run, place.name, content, existing=existing, progress=progress)
    finally:
        remote.listings.forget(place.run)


async def put_many(remote: Remote, pairs: Iterable[tuple[str, str]], callback: Callback) -> None:
    """Upload many local files; files that the run already has are not sent.

    Args:
        remote: The server.
        pairs: Local files and their paths.
        callback: Receives the number of files; its branches receive the bytes of each file.
    """
    found: dict[RunPath, list[FoundFile]] = {}
    children = {}
    for local, path in pairs:
        place, size = place_of(path), Path(local).stat().st_size
        found.setdefault(place.run, []).append(FoundFile(name=place.name, path=Path(local), size=size, given=True))
        children[place.run, place.name] = callback.branched(local, path)
    callback.set_size(len(children))
    for run, files in found.items():
        of_run = {file.name: children[run, file.name] for file in files}
        progress = None if all(child is DEFAULT_CALLBACK for child in of_run.values()) else Progress(of_run)
        await _upload(remote, run, files, "verify", progress, lambda _: callback.relative_update(1))


async def pipe_many(remote: Remote, contents: Mapping[str, bytes], *, existing: Existing) -> None:
    """Upload bytes as files, those of one run together.

    Args:
        remote: The server.
        contents: The bytes, by path.
        existing: What to do with existing files.
    """
    of_run: dict[RunPath, list[GivenBytes]] = {}
    for path, data in contents.items():
        place = place_of(path)
        of_run.setdefault(place.run, []).append(GivenBytes(name=place.name, data=data))
    limit = asyncio.Semaphore(RUNS_AT_ONCE)

    async def upload(run: RunPath, files: list[GivenBytes]) -> None:
        async with limit:
            await _upload(remote, run, files, existing)

    async with open_task_group() as group:
        for run, files in of_run.items():
            group.start_soon(upload, run, files)


async def _upload(
    remote: Remote,
    run: RunPath,
    files: Sequence[FoundFile | GivenBytes],
    existing: Existing,
    progress: Progress | None = None,
    on_result: Callable[[FileResult], None] | None = None,
) -> None:
    """Upload the files of one run together; raise the first failure."""
    try:
        with missing_as(str(run)):
            report = await remote.gateway.uploads().many(
                run, files, existing=existing, progress=progress, on_result=on_result
            )
    finally:
        remote.listings.forget(run)
    raise_failure(report)


async def copy(remote: Remote, source: str, target: str) -> None:
    """Copy a file via this machine, since W&B cannot copy files; folders are ignored."""
    if source == target or await remote.is_folder(source):
        return
    attributes = await remote.required(source, refresh=True)
    file, size = remote.file(place_of(source).run, attributes), attributes.size_bytes
    if size is not None and size <= IN_MEMORY:
        await send(remote, target, await file.read_bytes(), existing="replace")
        return
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="wbfiles-")
    try:
        await send(remote, target, await file.fetch(path=Path(folder, "copy")), existing="replace")
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
