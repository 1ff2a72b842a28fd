"""``wbfiles ls``: the files of a run, or the runs of a project, page by page as they come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing

import attrs
from rich.table import Column, Table

from wbfiles_async._cli.chosen import NAMES_ARE_EXACT, Absence, Chosen
from wbfiles_async._cli.ending import ExitCode, complain
from wbfiles_async._cli.nothing import tell_of_nothing
from wbfiles_async._cli.output import Output, console, write_json, write_row
from wbfiles_async._file import AsyncFile
from wbfiles_async._protocol.path_uri import path_uri
from wbfiles_async._protocol.urls import is_signed, without_secrets
from wbfiles_async._run import AsyncRun
from wbfiles_async._runs import AsyncRuns
from wbfiles_async._text import counted, local_time, printable, size_of

Write = Callable[[Sequence[AsyncFile]], None]


async def list_runs(runs: AsyncRuns, chosen: Chosen, output: Output) -> int:
    """List the runs of a project.

    Returns:
        The exit code.

    Raises:
        WBFilesError: The listing failed.
    """
    for_people = sys.stdout.isatty() and not output.json
    write = _write_json_runs if output.json else _Tables().of_runs if for_people else _write_run_rows
    count = 0
    async with aclosing(runs.pages()) as pages:
        async for page in pages:
            if page:
                write(page)
            count += len(page)
    if count and for_people:
        output.say(f"\n{counted(count, 'run')}")
    return ExitCode.DONE if count else await tell_of_nothing(runs, chosen, output)


async def list_files(run: AsyncRun, chosen: Chosen, output: Output) -> int:
    """List what is chosen of a run.

    Returns:
        The exit code.

    Raises:
        WBFilesError: The listing failed.
    """
    for_people = sys.stdout.isatty() and not output.json
    write: Write = _write_json if output.json else _Tables() if for_people else _write_rows
    absence = Absence(chosen.names)
    files = size = 0
    async with aclosing(chosen.of(run).pages()) as pages:
        async for page in pages:
            listed = [file for file in page if chosen.selection.accepts(file.name)]
            if listed:
                write(listed)
            for file in listed:
                absence.seen(file.name)
                size += file.size
            files += len(listed)
    if files and for_people:
        output.say(f"\n{counted(files, 'file')}, {size_of(size)}")
    if not files and not absence:
        return await tell_of_nothing(run, chosen, output)
    if absence:
        for error in absence.errors(run):
            complain(error.message)
        output.say(NAMES_ARE_EXACT)
    return absence.exit_code(found=files > 0)


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


def _write_json(files: Sequence[AsyncFile]) -> None:
    for file in files:
        write_json(
            {
                "name": file.name,
                "size": file.size_bytes,
                "md5": file.md5,
                "mimetype": file.mimetype,
                "updated_at": file.updated_at,
                "path_uri": _uri(file),
            }
        )


def _write_rows(files: Sequence[AsyncFile]) -> None:
    for file in files:
        write_row(file.name, file.size_bytes, file.mimetype, file.updated_at, file.md5)


@attrs.define
class _Tables:
    """Writes one table a page, the first with a heading, so that a long listing does not wait for its end."""

    _begun: bool = False

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

    def __call__(self, files: Sequence[AsyncFile]) -> None:
        table = self._table(
            Column("Name", overflow="fold"),
            Column("Size", justify="right", no_wrap=True),
            Column("Type", max_width=18, no_wrap=True, overflow="ellipsis", style="dim"),
            Column("Updated", no_wrap=True),
        )
        for file in files:
            size = "-" if file.size_bytes is None else size_of(file.size_bytes)
            table.add_row(printable(file.name), size, printable(file.mimetype or "-"), local_time(file.updated_at))
        console().print(table)

    def _table(self, *columns: Column) -> Table:
        begun, self._begun = self._begun, True
        return Table(*columns, box=None, show_header=not begun, header_style="bold", pad_edge=False)


def _uri(file: AsyncFile) -> str | None:
    uri = path_uri(file.url, file.direct_url)
    return (without_secrets(uri) if is_signed(uri) else uri) or None
