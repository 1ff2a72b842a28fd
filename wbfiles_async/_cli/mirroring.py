"""``wbfiles get PROJECT/ --delete``: removes local files that the project no longer has, after a download."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import attrs
import click

from wbfiles_async._async.runs import AsyncRuns
from wbfiles_async._cli.ending import ExitCode, complain
from wbfiles_async._cli.output import Output, is_terminal, write_json, write_row
from wbfiles_async._disk.mirrored import LocalFile, RunFolder, local_key, marked_below
from wbfiles_async._download.layout import Layout
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.runs_page import ListedRun
from wbfiles_async._models import RunPath
from wbfiles_async._text import counted, printable, size_of
from wbfiles_async.errors import RunNotFoundError, UnsafePathError, WBFilesError

SHOWN = 10
"""Maximum files named in the question, which states the total number."""


@attrs.define
class Leftovers:
    """The files to remove, and those to leave unchanged.

    Attributes:
        found: The files, each with its folder.
        gone: Folders of runs that the project no longer has.
        unknown: Folders with other files that are not marked.
        unsure: Runs with an unreliable listing.
    """

    found: list[tuple[RunFolder, LocalFile]] = attrs.field(factory=list)
    gone: list[RunFolder] = attrs.field(factory=list)
    unknown: list[RunFolder] = attrs.field(factory=list)
    unsure: list[str] = attrs.field(factory=list)

    @property
    def bytes(self) -> int:
        """The length of all files."""
        return sum(file.size for _, file in self.found)


def check_mirror(layout: str, root: Path | str, *, is_shard: bool, asks: bool) -> None:
    """Check that --delete can be used, before any request.

    Raises:
        click.UsageError: It cannot: runs do not have their own folders, or there is no terminal to ask on.
    """
    if not isinstance(root, Path):
        raise click.UsageError("--delete is for local folders, not for object stores.")
    if is_shard:
        raise click.UsageError("--delete compares the whole project, and --shard is a part of it; give one of them.")
    if asks and not _is_interactive():
        raise click.UsageError("--delete needs a terminal to ask on: give --yes, or --dry-run to see what it would do.")
    if "{run}" not in layout.rpartition("/")[2] or "{run}" in layout.rpartition("/")[0]:
        raise click.UsageError(
            f"--delete needs a folder for each run, and --layout '{layout}' gives none; use one whose last folder has "
            "{run} in it, such as '{project}/{run}'."
        )


async def find_leftovers(
    runs: AsyncRuns, selection: Selection, root: Path, layout: Layout, *, dry_run: bool
) -> Leftovers:
    """List the project once more, and compare it with the local files.

    Raises:
        WBFilesError: The listing failed, so nothing may be removed.
        OSError: A folder cannot be read.
    """
    gateway = runs._client._gateway
    disk = gateway.session().disk
    left = Leftovers()
    listed: set[RunPath] = set()
    compare = partial(_compare, left, selection=selection, root=root, layout=layout, dry_run=dry_run)
    run: ListedRun | None = None
    keys: set[str | None] = set()
    count = 0
    async with aclosing(runs._attributes(Selection(), urls=False)) as pages:
        async for each, files in pages:
            if run is not None and each.path != run.path:
                await disk.run(compare, run, keys, count)
                keys, count = set(), 0
            run = each
            listed.add(each.path)
            keys.update(local_key(file.name) for file in files)
            count += len(files)
    if run is not None:
        await disk.run(compare, run, keys, count)
    project = await gateway.api.resolve(runs._path)
    for path, folder in await disk.run(_marked, root, layout, RunPath(project.entity, project.project, "")):
        if path not in listed and await _is_gone(runs, path):
            left.gone.append(folder)
            found = await disk.run(folder.files)
            left.found += [(folder, file) for file in found if selection.accepts(file.name)]
    return left


def _compare(
    left: Leftovers,
    run: ListedRun,
    keys: set[str | None],
    count: int,
    *,
    selection: Selection,
    root: Path,
    layout: Layout,
    dry_run: bool,
) -> None:
    """Compare a run's folder with the keys of the run's names. Blocking."""
    try:
        folder = RunFolder(root, layout.folder(run.path), str(run.path))
        if run.file_count != count:  # also if the server does not count, so that an empty listing removes nothing
            left.unsure.append(str(run.path))
            return

        def is_of_run(name: str) -> bool:
            return local_key(name) in keys

        known = folder.is_known() if dry_run else folder.mark(is_of_run)
        others = [file for file in folder.files() if not is_of_run(file.name) and selection.accepts(file.name)]
    except UnsafePathError:  # nothing has been written there
        return
    if known:
        left.found += [(folder, file) for file in others]
    elif others:
        left.unknown.append(folder)


def _marked(root: Path, layout: Layout, project: RunPath) -> list[tuple[RunPath, RunFolder]]:
    """Return the folders of the layout that are marked for a run of the project. Blocking."""
    found = []
    above = layout.folder(attrs.evolve(project, run_id="run"))[:-1]
    for name, text in marked_below(root, above):
        entity, _, rest = text.partition("/")
        named, _, run_id = rest.partition("/")
        path = RunPath(entity, named, run_id)
        if (entity, named) != (project.entity, project.project) or not run_id:
            continue
        try:
            parts = layout.folder(path)
        except UnsafePathError:
            continue
        if parts == (*above, name):
            found.append((path, RunFolder(root, parts, text)))
    return found


async def _is_gone(runs: AsyncRuns, path: RunPath) -> bool:
    """Return whether the project exists without this run, from a request for only this run."""
    api = runs._client._gateway.api
    try:
        await api.look_up_run(path)
    except RunNotFoundError:
        await api.count_runs(runs._path, "{}")  # raises if the project is not visible
        return True
    return False


def remove_leftovers(left: Leftovers, output: Output, *, dry_run: bool, yes: bool) -> int:
    """Report, ask and remove.

    Returns:
        The exit code.
    """
    for folder in left.unknown[:SHOWN]:
        output.say(
            f"{_place(folder)} holds files that are not of its run, and is not known as a mirror of it; nothing is "
            "removed there."
        )
    if left.unsure:
        complain(
            f"the server did not list all files of {counted(len(left.unsure), 'run')}, such as {left.unsure[0]}; "
            "nothing is removed there."
        )
    if left.found and not dry_run and not yes and not _confirmed(left):
        complain("nothing was removed.")
        return ExitCode.FAILED
    removed = failures = size = 0
    for folder, file in left.found:
        try:
            if not dry_run and not folder.remove(file.name):
                continue
        except (OSError, WBFilesError) as error:
            complain(f"{_place(folder)}/{file.name} was not removed: {error}")
            failures += 1
            continue
        removed += 1
        size += file.size
        _write(folder, file, output, "removable" if dry_run else "removed")
    if not dry_run:
        for folder in left.gone:
            folder.drop()
    if removed:
        done = "would be removed" if dry_run else "removed"
        output.say(f"{counted(removed, 'local file')}, {size_of(size)}, that the project no longer has, {done}.")
    return ExitCode.FAILED if failures or left.unsure else ExitCode.DONE


def _place(folder: RunFolder) -> str:
    return str(folder.root.joinpath(*folder.parts))


def _write(folder: RunFolder, file: LocalFile, output: Output, status: str) -> None:
    if output.json:
        path = f"{_place(folder)}/{file.name}"
        write_json({"run": folder.run, "name": file.name, "status": status, "path": path, "size": file.size})
    elif not output.quiet:
        write_row(f"{folder.parts[-1]}/{file.name}", file.size, status)


def _is_interactive() -> bool:
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def _confirmed(left: Leftovers) -> bool:
    for line in _lines(left.found):
        print(f"  {line}", file=sys.stderr)
    what = f"{counted(len(left.found), 'local file')}, {size_of(left.bytes)}"
    return click.confirm(f"Remove {what}, that the project no longer has?", err=True)


def _lines(found: Sequence[tuple[RunFolder, LocalFile]]) -> list[str]:
    lines = [printable(f"{_place(folder)}/{file.name}") for folder, file in found[:SHOWN]]
    return lines + ([f"and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else [])
