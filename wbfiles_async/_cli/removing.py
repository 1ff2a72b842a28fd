"""``wbfiles rm``: delete files of a run on the server, after asking."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from operator import attrgetter

import attrs
import click
from rich.console import Console
from rich.text import Text

from wbfiles_async import AsyncApi
from wbfiles_async._cli.chosen import NAMES_ARE_EXACT, Absence, Chosen
from wbfiles_async._cli.ending import ExitCode, complain, explain, run
from wbfiles_async._cli.fetching import tell_failures
from wbfiles_async._cli.nothing import tell_of_nothing
from wbfiles_async._cli.output import Output, is_terminal, write_json, write_row
from wbfiles_async._cli.target import explained, find_run
from wbfiles_async._graphql.pending_deletions import PendingDeletions
from wbfiles_async._reports import DeletionReport, FileResult
from wbfiles_async._text import counted, printable, seconds_of, size_of
from wbfiles_async.errors import IncompleteDeletionError, RemoteFileNotFoundError

NAMES_SHOWN = 10
"""Files that the question names; it gives the number of all."""


@attrs.frozen(kw_only=True)
class Removal:
    """What is to be deleted, and whether to ask.

    Attributes:
        run: The run's path, as it was typed.
        chosen: Which of its files were selected.
        everything: Whether all of them are meant.
        open_api: Makes a client.
        dry_run: Whether to only report what would be done.
        yes: Whether the answer to the question is known.
    """

    run: str
    chosen: Chosen
    open_api: Callable[[], AsyncApi]
    everything: bool = False
    dry_run: bool = False
    yes: bool = False


@attrs.frozen
class _Found:
    """What was listed: exactly this is confirmed and deleted, and nothing that was added later.

    Attributes:
        run: The run's path with all its parts.
        code: The exit code if there is nothing to delete.
        pending: The files.
        absent: An error for each name that the run does not have.
    """

    run: str
    code: ExitCode
    pending: PendingDeletions
    absent: list[RemoteFileNotFoundError]


def remove(removal: Removal, output: Output) -> int:
    """List, ask, delete, and report the results.

    Returns:
        The exit code.

    Raises:
        click.UsageError: It is not clear which files are meant, or there is no terminal to ask on.
        WBFilesError: The listing failed, or nothing may be deleted.
    """
    if "://" not in removal.run:  # an address may name a file
        _check_extent(removal.chosen, everything=removal.everything)
    asks = not (removal.yes or removal.dry_run)
    if asks and not _somebody_is_there():
        raise click.UsageError(
            "rm asks before it deletes, and here is nobody to ask: give --yes, or --dry-run to see what it would do."
        )
    found = _list(removal, output)
    if found.pending.files and asks and not _confirmed(found):  # in between, since no loop may wait for a person
        complain("nothing was deleted.")
        return ExitCode.FAILED

    async def work() -> int:
        return _tell_of_all(await _carry_out(removal, found, output), found, output)

    return run(work, output.log_level)


def _check_extent(chosen: Chosen, *, everything: bool) -> None:
    if everything is bool(chosen):
        raise click.UsageError(
            "Give --all, or what chooses some files; not both."
            if everything
            else "Say which files: NAMEs, --include, --exclude, --pattern, or --all for all files of the run."
        )


def _somebody_is_there() -> bool:
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def _list(removal: Removal, output: Output) -> _Found:
    found: list[_Found] = []

    async def work() -> int:
        async with removal.open_api() as api:
            of, chosen = await find_run(api, removal.run, removal.chosen)
            _check_extent(chosen, everything=removal.everything)
            with explained(removal.run):
                pending = await chosen.of(of)._pending_deletions(chosen.selection)
            absence = Absence(chosen.names)
            if absence:
                for file in pending:
                    absence.seen(file.name)
            code = ExitCode.DONE if pending.files or absence else await tell_of_nothing(of, chosen, output)
            found.append(_Found("/".join(of.path), code, pending, absence.errors(of)))
        return ExitCode.DONE

    run(work, output.log_level)
    return found[0]


def _confirmed(found: _Found) -> bool:
    pending = found.pending
    for file in islice(pending, NAMES_SHOWN):
        print(f"  {printable(file.name)}", file=sys.stderr)
    if pending.files > NAMES_SHOWN:
        print(f"  and {pending.files - NAMES_SHOWN:,} more", file=sys.stderr)
    what = f"{counted(pending.files, 'file')}, {size_of(pending.bytes)}, of {printable(found.run)}"
    return click.confirm(f"Delete {what}? There is no way back.", err=True)


async def _carry_out(removal: Removal, found: _Found, output: Output) -> DeletionReport:
    async with removal.open_api() as api:
        with _shown(found.pending, removal, output) as on_result:
            deletion = api._gateway.deletion(api.run(found.run)._path, on_result)
            try:
                return deletion.tell(found.pending) if removal.dry_run else await deletion.carry_out(found.pending)
            except IncompleteDeletionError as error:
                return error.report


def _tell_of_all(report: DeletionReport, found: _Found, output: Output) -> ExitCode:
    absent = found.absent
    if output.json:
        for error in absent:
            _write_json(FileResult(name=error.name, status="failed", error=error))
        counts = attrs.asdict(report, filter=attrs.filters.exclude("failures", "planned_files"))
        failed = report.failed + len(absent)
        write_json({"summary": counts | {"files": report.files + len(absent), "failed": failed}})
    else:
        if report.files > report.failed:
            output.say(_summarize(report))
        if report.failed:
            tell_failures(report, attrgetter("name"))
            output.say("Run the same command again to continue with what is left.")
        if absent:
            complain("\n".join(error.message for error in absent))
            output.say(NAMES_ARE_EXACT)
    if absent and not report.files:
        return ExitCode.NOT_FOUND
    return ExitCode.FAILED if absent or report.failed else found.code


@contextmanager
def _shown(pending: PendingDeletions, removal: Removal, output: Output) -> Iterator[Callable[[FileResult], None]]:
    """Write a line for each file, or count them on a terminal; say how far it was when it is interrupted."""
    tell, deleted = _tell(output), 0
    counts = output.shows_progress and is_terminal(sys.stdout) and not removal.dry_run and pending.files > 0
    status = Console(stderr=True).status(Text("Deleting")) if counts else None

    def note(result: FileResult) -> None:
        nonlocal deleted
        deleted += result.status == "deleted"
        if status is not None:
            status.update(Text(f"{deleted:,} of {counted(pending.files, 'file')} deleted"))
        else:
            tell(result)

    try:
        if status is None:
            yield note
        else:
            with status:
                yield note
    except asyncio.CancelledError:
        complain(
            f"stopped with {deleted:,} of {counted(pending.files, 'file')} deleted; those under way may be gone too.\n"
            "Run the same command again to continue with what is left."
        )
        raise


def _tell(output: Output) -> Callable[[FileResult], None]:
    return _write_json if output.json else _ignore if output.quiet else _write_line


def _write_json(result: FileResult) -> None:
    error = result.error
    told = None if error is None else {"type": type(error).__name__, "message": explain(error)}
    write_json({"name": result.name, "status": result.status, "size": result.size, "error": told})


def _write_line(result: FileResult) -> None:
    if result.error is None:
        write_row(result.name, result.size, result.status)


def _ignore(result: FileResult) -> None:
    pass


def _summarize(report: DeletionReport) -> str:
    if report.planned:
        return f"{counted(report.planned, 'file')}, {size_of(report.bytes)}, would be deleted."
    return f"{counted(report.deleted, 'file')}, {size_of(report.bytes)}, deleted in {seconds_of(report.seconds)}."
