"""Deletes files of runs, which are selected by paths and patterns in a new listing."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from wbfiles_async._fsspec.errors import missing_as, not_found
from wbfiles_async._fsspec.globs import has_magic
from wbfiles_async._fsspec.places import FILE, Place, place_at
from wbfiles_async._fsspec.remote import Remote
from wbfiles_async._graphql.pending_deletions import PendingDeletions
from wbfiles_async._models import FileAttributes, ProjectPath, RunPath

__all__ = ["remove"]

Glob: TypeAlias = Callable[[str, int | None], Awaitable[Iterable[str]]]
"""Finds paths that match a pattern, down to a maximum depth."""


async def remove(remote: Remote, paths: Iterable[str], glob: Glob, *, recursive: bool, maxdepth: int | None) -> None:
    """Delete files, in batches, and check that they are gone.

    Args:
        remote: The server.
        paths: Files, folders or patterns. The exact name of a file selects only that file. Without paths, nothing is
            deleted.
        glob: Finds paths that match a pattern, in a new listing.
        recursive: Whether to delete folders of runs with their contents.
        maxdepth: Maximum levels below a folder; ``None`` for all.

    Raises:
        PermissionError: A path is a run, a project or an entity.
        IsADirectoryError: A path is a folder, and ``recursive`` is false.
        FileNotFoundError: A path does not exist, or a pattern matches nothing.
        IncompleteDeletionError: Files remain, or may remain; the error names them.
    """
    pending: dict[RunPath, dict[str, FileAttributes]] = {}
    for path in paths:
        for run, file in await _chosen(remote, path, glob, recursive=recursive, maxdepth=maxdepth):
            pending.setdefault(run, {})[file.name] = file
    for run, files in pending.items():
        chosen = PendingDeletions(ProjectPath(run.entity, run.project))
        chosen.add(run.run_id, files.values())
        try:
            await remote.gateway.deletion(f"the run {run}").carry_out(chosen)
        finally:
            remote.listings.forget(run)


async def _chosen(
    remote: Remote, path: str, glob: Glob, *, recursive: bool, maxdepth: int | None
) -> list[tuple[RunPath, FileAttributes]]:
    """Return the files that a path or pattern selects, in a new listing."""
    place = place_at(path)
    if place.depth < FILE:
        raise PermissionError(
            errno.EPERM,
            "only files and folders of runs can be deleted here, not a run, a project or all files of a run; for "
            "the latter use AsyncRun.files().delete(all=True)",
            path,
        )
    with missing_as(path):
        names_one_run = not has_magic(str(place.run))
        file = await remote.find_file(place, refresh=True) if names_one_run else None
        if file is not None:  # has exactly this name, even if it looks like a pattern
            return [(place.run, file)]
        if not has_magic(path):
            return await _chosen_below(remote, place, path, recursive=recursive, maxdepth=maxdepth)
        matches = [place_at(each) for each in await glob(path, maxdepth)]
        if not matches:
            raise not_found(path)
        found = await asyncio.gather(*(remote.find_file(match, refresh=True) for match in matches))
        chosen = []
        for match, one in zip(matches, found, strict=True):
            if one is not None:
                chosen.append((match.run, one))
            else:
                below = f"{match.run}/{match.name}"
                chosen += await _chosen_below(remote, match, below, recursive=recursive, maxdepth=maxdepth)
        return chosen


async def _chosen_below(
    remote: Remote, place: Place, path: str, *, recursive: bool, maxdepth: int | None
) -> list[tuple[RunPath, FileAttributes]]:
    tree = await remote.tree(place.run, place.name, refresh=True)
    if place.name not in tree.folders:
        raise not_found(path)
    if not recursive:
        raise IsADirectoryError(errno.EISDIR, "recursive=True deletes a folder with all that is in it", path)
    level = place.name.count("/") + 1
    return [
        (place.run, file)
        for file in tree.below(place.name)
        if maxdepth is None or file.name.count("/") < level + maxdepth
    ]
