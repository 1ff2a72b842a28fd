"""Finds all files below a path in one listing, regardless of the number of folders."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from wbfiles_async._fsspec.found import Found, parts_of, prefix_of
from wbfiles_async._fsspec.globs import Pushed
from wbfiles_async._fsspec.listings import Tree
from wbfiles_async._fsspec.places import PROJECT, RUN, Info, Place, file_info, folder_info, place_at, place_of
from wbfiles_async._fsspec.remote import Remote
from wbfiles_async._graphql.pagination import RunPages
from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async._options import PER_PAGE, RUNS_PER_PAGE
from wbfiles_async.errors import RunNotFoundError

__all__ = ["find"]


async def find(
    remote: Remote,
    path: str,
    *,
    maxdepth: int | None,
    withdirs: bool,
    prefix: str,
    pushed: Pushed,
    refresh: bool,
) -> dict[str, Info]:
    """Return the details of all files below a path, by path; empty if the path does not exist.

    Args:
        remote: The server.
        path: The path; that of a file finds the file itself.
        maxdepth: Maximum levels below the path; ``None`` for all.
        withdirs: Whether to include folders, also the path itself.
        prefix: The beginning of all results, relative to the path.
        pushed: The part of a pattern that the server evaluates.
        refresh: Whether to ignore cached listings.
    """
    place = place_at(path)
    found = Found(path, maxdepth, withdirs=withdirs, prefix=prefix)
    try:
        async with aclosing(_walk_files(remote, place, path, found, pushed, refresh=refresh)) as walked:
            async for run, files in walked:
                found.add_run(run)
                for file in files:
                    found.add(run, file)
    except (RunNotFoundError, FileNotFoundError):
        return {}
    itself = await remote.find_file(place) if not found.infos else None
    if itself is not None:
        found.infos[path] = file_info(place.run, itself)
    elif withdirs and path and (found.infos or await remote.is_folder(path)):
        found.infos[path] = folder_info(path)
    return dict(sorted(found.infos.items()))


async def _walk_files(
    remote: Remote, place: Place, path: str, found: Found, pushed: Pushed, *, refresh: bool
) -> AsyncGenerator[tuple[RunPath, Iterable[FileAttributes]]]:
    """Yield the files below a path, run by run, and add the folders above runs to ``found``."""
    if place.depth >= RUN:
        tree = None if refresh else remote.listings.tree(place.run, place.name)
        if tree is None and pushed.like is not None:
            async with aclosing(remote.pages(place.run, pushed.like)) as pages:
                async for page in pages:
                    yield place.run, [file for file in page if file.name.startswith(prefix_of(place.name))]
            return
        yield place.run, (tree or await remote.tree(place.run, place.name, refresh=refresh)).below(place.name)
    elif found.needs_files(place.depth) and place.depth == PROJECT:
        async with aclosing(_walk_project(remote, place, pushed)) as walked:
            async for run, files in walked:
                yield run, files
    elif found.maxdepth is None or found.maxdepth > len(parts_of(path)) - len(parts_of(found.path)):
        for info in await remote.ls_above(place, path, refresh=refresh):
            below = str(info["name"])
            found.add_folder(info)
            if place.depth < PROJECT:
                async with aclosing(
                    _walk_files(remote, place_of(below), below, found, pushed, refresh=refresh)
                ) as walked:
                    async for run, files in walked:
                        yield run, files


async def _walk_project(
    remote: Remote, place: Place, pushed: Pushed
) -> AsyncGenerator[tuple[RunPath, Iterable[FileAttributes]]]:
    """Yield the files of all runs of a project; one request lists many runs."""
    filters = _runs_beginning(pushed.runs)
    each = PER_PAGE // RUNS_PER_PAGE
    walk = RunPages(place.project_path, filters, "+created_at", per_page=RUNS_PER_PAGE, files_each=each)
    walk.pattern = pushed.like
    whole: list[FileAttributes] = []
    before: RunPath | None = None
    async with aclosing(remote.api.files_of_runs(remote.api.run_pages(walk), names=(), pattern=pushed.like)) as pages:
        async for run, files in pages:
            if pushed.like is None:
                if before is not None and before != run.path:
                    remote.listings.keep_tree(before, "", Tree(whole))
                    whole = []
                before = run.path
                whole += files
            remote.listings.keep_state(run.path, run.state)
            yield run.path, files
    if before is not None:
        remote.listings.keep_tree(before, "", Tree(whole))


def _runs_beginning(stem: str) -> str:
    """Return the filter for runs by the beginning of their ids, which W&B calls names."""
    return json.dumps({"name": {"$regex": f"^{re.escape(stem)}"}} if stem else {})
