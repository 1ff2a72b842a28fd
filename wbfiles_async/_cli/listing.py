"""``wbfiles ls``: the files of a run, or the runs of a project, page by page as they arrive."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar, get_args

import attrs
import click
from rich.cells import cell_len
from rich.table import Column, Table

from wbfiles_async._async.file import AsyncFile
from wbfiles_async._async.run import AsyncRun
from wbfiles_async._async.runs import AsyncRuns
from wbfiles_async._cli.chosen import NAMES_ARE_EXACT, Absence, Chosen
from wbfiles_async._cli.ending import ExitCode, complain
from wbfiles_async._cli.nothing import explain_nothing
from wbfiles_async._cli.output import Output, check_stdout, console, is_terminal, write_json, write_row
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.path_uri import path_uri
from wbfiles_async._text import counted, local_time, printable, size_of
from wbfiles_async._urls import is_signed, without_secrets

TYPE_COLUMNS = 20
"""Width of the type column, which is omitted if names would wrap because of it."""

LEAST_BESIDE_NAMES = 30
"""Width of the size and time columns."""

T = TypeVar("T")

Place = tuple[AsyncFile, str]
"""A file and its displayed name, which begins with the run if there are several."""

Write = Callable[[Sequence[Place]], None]

Sort = Literal["name", "size", "updated"]
SORTS: tuple[Sort, ...] = get_args(Sort)


async def list_runs(runs: AsyncRuns, chosen: Chosen, output: Output, sort: Sort | None = None) -> int:
    """List the runs of a project.

    Returns:
        The exit code.

    Raises:
        click.ClickException: stdout is closed, or runs cannot be sorted so.
        WBFilesError: The listing failed.
    """
    check_stdout()
    if sort == "size":
        raise click.UsageError("Runs have no size here; `wbfiles du` sums up the sizes of their files.")
    if sort == "updated":
        runs = attrs.evolve(runs, order="-heartbeat_at")
    for_people = is_terminal(sys.stdout) and not output.json
    write = _write_json_runs if output.json else _Tables().of_runs if for_people else _write_run_rows
    count = 0
    by_name = (lambda run: run.name or run.id) if sort == "name" else None
    async with aclosing(runs.pages()) as pages, aclosing(_sorted(pages, by_name)) as ordered:
        async for page in ordered:
            if page:
                write(page)
            count += len(page)
    if count and for_people:
        output.say(f"\n{counted(count, 'run')}")
    return ExitCode.DONE if count else await explain_nothing(runs, chosen, output)


async def list_files(target: AsyncRun | AsyncRuns, chosen: Chosen, output: Output, sort: Sort | None = None) -> int:
    """List the selected files of a run, or of all runs of a project.

    Returns:
        The exit code.

    Raises:
        click.ClickException: stdout is closed.
        WBFilesError: The listing failed.
    """
    check_stdout()
    for_people = is_terminal(sys.stdout) and not output.json
    of_many = isinstance(target, AsyncRuns)
    write: Write = partial(_write_json, with_run=of_many) if output.json else _Tables() if for_people else _write_rows
    absence = Absence(chosen.names)
    files = size = 0
    key = None if sort is None else _KEYS[sort]
    async with aclosing(pages_of(target, chosen)) as pages, aclosing(_sorted(pages, key)) as ordered:
        async for page in ordered:
            if page:
                write(page)
            for file, _ in page:
                absence.seen(file.name)
                size += file.size
            files += len(page)
    if files and for_people:
        output.say(f"\n{counted(files, 'file')}, {size_of(size)}")
    if not files and not absence:
        return await explain_nothing(target, chosen, output)
    if absence:
        for error in absence.errors(target):
            complain(error.message)
        output.say(NAMES_ARE_EXACT)
    return absence.exit_code(found=files > 0)


async def pages_of(target: AsyncRun | AsyncRuns, chosen: Chosen) -> AsyncGenerator[list[Place]]:
    """List the selected files, page by page; a page may be empty.

    Raises:
        WBFilesError: The listing failed.
    """
    selection = chosen.selection
    if isinstance(target, AsyncRuns):
        listed = target._files(Selection(chosen.include, selection.exclude))
        async with aclosing(listed) as pages:
            async for page in pages:
                yield [(file, f"{file.run.id}/{file.name}" if file.run else file.name) for file in page]
        return
    async with aclosing(chosen.of(target).pages()) as pages:
        async for page in pages:
            yield [(file, file.name) for file in page if selection.accepts(file.name)]


_KEYS: dict[Sort, Callable[[Place], Any]] = {
    "name": lambda place: place[1],
    "size": lambda place: (-place[0].size, place[1]),
    "updated": lambda place: -_instant(place[0].updated_at),
}


def _instant(updated_at: str | None) -> float:
    """Return a time in seconds since the epoch; the distant past if unknown."""
    try:
        time = datetime.fromisoformat(updated_at or "")
    except ValueError:
        return 0.0
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


async def _sorted(pages: AsyncGenerator[list[T]], key: Callable[[T], Any] | None) -> AsyncGenerator[list[T]]:
    """Yield pages as they arrive, or all as a single sorted one."""
    if key is None:
        async for page in pages:
            yield page
        return
    yield sorted([item async for page in pages for item in page], key=key)


def _write_json_runs(runs: Sequence[AsyncRun]) -> None:
    for run in runs:
        write_json(
            {
                "path": "/".join(run.path),
                "id": run.id,
                "name": run.name,
                "state": run.state,
                "created_at": run.created_at,
            }
        )


def _write_run_rows(runs: Sequence[AsyncRun]) -> None:
    for run in runs:
        write_row(run.id, run.name, run.state, run.created_at)


def _write_json(places: Sequence[Place], *, with_run: bool) -> None:
    for file, _ in places:
        run = {"run": "/".join(file.run.path)} if with_run and file.run else {}
        write_json(
            run
            | {
                "name": file.name,
                "size": file.size_bytes,
                "md5": file.md5,
                "mimetype": file.mimetype,
                "updated_at": file.updated_at,
                "path_uri": _uri(file),
            }
        )


def _write_rows(places: Sequence[Place]) -> None:
    for file, name in places:
        write_row(name, file.size_bytes, file.mimetype, file.updated_at, file.md5)


@attrs.define
class _Tables:
    """Writes one table per page, the first with a heading, so that a long listing appears gradually."""

    _begun: bool = False
    _with_type: bool = True

    def of_runs(self, runs: Sequence[AsyncRun]) -> None:
        """Write the table of a page of runs."""
        table = self._table(
            Column("Run", no_wrap=True),
            Column("Name", overflow="fold"),
            Column("State", no_wrap=True, style="dim"),
            Column("Created", no_wrap=True),
        )
        for run in runs:
            words = (run.id, run.name or "-", run.state or "-")
            table.add_row(*map(printable, words), local_time(run.created_at))
        console().print(table)

    def __call__(self, places: Sequence[Place]) -> None:
        if not self._begun:  # the first page decides for all
            least = LEAST_BESIDE_NAMES + max(cell_len(printable(name)) for _, name in places)
            width = console().width
            self._with_type = least + TYPE_COLUMNS <= width or least > width
        kind = Column("Type", width=TYPE_COLUMNS - 2, no_wrap=True, overflow="ellipsis", style="dim")
        table = self._table(
            Column("Name", overflow="fold"),
            Column("Size", justify="right", no_wrap=True),
            *([kind] if self._with_type else []),
            Column("Updated", no_wrap=True),
        )
        for file, name in places:
            size = "-" if file.size_bytes is None else size_of(file.size_bytes)
            kinds = [printable(file.mimetype or "-")] if self._with_type else []
            table.add_row(printable(name), size, *kinds, local_time(file.updated_at))
        console().print(table)

    def _table(self, *columns: Column) -> Table:
        begun, self._begun = self._begun, True
        return Table(*columns, box=None, show_header=not begun, header_style="bold", pad_edge=False)


def _uri(file: AsyncFile) -> str | None:
    uri = path_uri(file.url, file.direct_url)
    return (without_secrets(uri) if is_signed(uri) else uri) or None
