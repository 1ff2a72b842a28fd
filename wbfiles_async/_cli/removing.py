"""``wbfiles rm``: delete files of a run, or of the runs of a project, on the server, after asking."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice

import attrs
import click
from rich.console import Console
from rich.text import Text

from wbfiles_async import AsyncApi, AsyncRun, AsyncRuns
from wbfiles_async._cli.chosen import NAMES_ARE_EXACT, Absence, Chosen
from wbfiles_async._cli.ending import ExitCode, complain, explain, run
from wbfiles_async._cli.failures import show_failures
from wbfiles_async._cli.nothing import explain_nothing
from wbfiles_async._cli.output import Output, is_terminal, write_json, write_row
from wbfiles_async._cli.target import Filters, explained, find_erasable
from wbfiles_async._cli.usage import Sizes
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.pending_deletions import PendingDeletions
from wbfiles_async._reports import DeletionReport, FileResult
from wbfiles_async._text import counted, printable, seconds_of, size_of
from wbfiles_async.errors import IncompleteDeletionError, RemoteFileNotFoundError

NAMES_SHOWN = 10
"""Maximum files or groups named in the question, which states the total number."""

DELETE_EVERYTHING = "--yes-delete-everything-in"


@attrs.frozen(kw_only=True)
class Removal:
    """The arguments of a deletion.

    Attributes:
        path: The path of the run or the project, as typed.
        chosen: Which of the files were selected.
        filters: Conditions on runs; with them the path can only name a project.
        everything: Whether all files are meant.
        open_api: Makes a client.
        dry_run: Whether to only report what would be done.
        yes: Whether to delete without asking.
        everything_in: The project whose files may all be deleted, as typed; ``None`` if none.
    """

    path: str
    chosen: Chosen
    open_api: Callable[[], AsyncApi]
    filters: Filters = None
    everything: bool = False
    dry_run: bool = False
    yes: bool = False
    everything_in: str | None = None

    @property
    def asks(self) -> bool:
        """Whether to ask."""
        return not (self.yes or self.dry_run or self.everything_in is not None)


@attrs.frozen
class _Found:
    """The listed files: exactly these are confirmed and deleted, not files that were added later.

    Attributes:
        path: The full path of the run or the project.
        code: The exit code if there is nothing to delete.
        pending: The files.
        absent: An error for each name that the run, or every run, lacks.
        of_many: Whether they are those of a project's runs.
        is_everything: Whether they are all files of these runs.
    """

    path: str
    code: ExitCode
    pending: PendingDeletions
    absent: list[RemoteFileNotFoundError]
    of_many: bool = False
    is_everything: bool = False

    @property
    def where(self) -> str:
        """The run or project, for messages."""
        return f"the {'project' if self.of_many else 'run'} {self.path}"

    def name_of(self, result: FileResult) -> str:
        """Return the name that distinguishes a file from the others."""
        return f"{result.run.rpartition('/')[2]}/{result.name}" if self.of_many else result.name


def remove(removal: Removal, output: Output) -> int:
    """List, ask, delete, and report the results.

    Returns:
        The exit code.

    Raises:
        click.UsageError: It is not clear which files are meant, or there is no terminal to ask on.
        WBFilesError: The listing failed, or nothing may be deleted.
    """
    if "://" not in removal.path:  # a URL may name a file
        _check_extent(removal.chosen, everything=removal.everything)
    if removal.asks and not _is_interactive():
        raise click.UsageError("rm needs a terminal to ask on: give --yes, or --dry-run to see what it would do.")
    found = _list(removal, output)
    if found.pending.files and removal.asks and not _confirmed(found):  # no event loop waits meanwhile
        complain("nothing was deleted.")
        return ExitCode.FAILED

    async def work() -> int:
        return _show_result(await _carry_out(removal, found, output), found, output)

    return run(work, output.log_level)


def _check_extent(chosen: Chosen, *, everything: bool) -> None:
    if everything is bool(chosen):
        raise click.UsageError(
            "Give --all, or what chooses some files; not both."
            if everything
            else "Say which files: NAMEs, --include, --exclude, --pattern, or --all for all files."
        )


def _check_everything(removal: Removal, path: str, *, is_everything: bool) -> None:
    """Check that all files of a project are deleted only if its name was typed.

    Args:
        removal: The arguments.
        path: The project, or the run.
        is_everything: Whether all files of a project's runs are meant.
    """
    named = None if removal.everything_in is None else removal.everything_in.strip("/")
    if is_everything:
        if named is not None and named != path:
            raise click.UsageError(f"{DELETE_EVERYTHING} names {named}, and these are the files of {path}.")
        if named is None and removal.yes and not removal.dry_run:
            raise click.UsageError(
                f"This would delete every file of the runs of {path}, which needs more than --yes: choose files by "
                f"--include, or give {DELETE_EVERYTHING} {path}."
            )
    elif named is not None:
        raise click.UsageError(f"{DELETE_EVERYTHING} is for all files of a project; give --yes.")


def _is_interactive() -> bool:
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def _list(removal: Removal, output: Output) -> _Found:
    found: list[_Found] = []

    async def work() -> int:
        async with removal.open_api() as api:
            of, chosen = await find_erasable(api, removal.path, removal.chosen, removal.filters)
            _check_extent(chosen, everything=removal.everything)
            with explained(removal.path):
                if isinstance(of, AsyncRuns):
                    found.append(await _list_project(of, chosen, removal, output))
                else:
                    found.append(await _list_run(of, chosen, removal, output))
        return ExitCode.DONE

    run(work, output.log_level)
    return found[0]


async def _list_run(of: AsyncRun, chosen: Chosen, removal: Removal, output: Output) -> _Found:
    _check_everything(removal, "/".join(of.path), is_everything=False)
    pending = await chosen.of(of)._pending_deletions(chosen.selection)
    absence = _absence(chosen, pending)
    code = ExitCode.DONE if pending.files or absence else await explain_nothing(of, chosen, output)
    return _Found("/".join(of.path), code, pending, absence.errors(of))


async def _list_project(of: AsyncRuns, chosen: Chosen, removal: Removal, output: Output) -> _Found:
    if chosen.pattern is not None:
        raise click.UsageError(f"{removal.path} is a project, and --pattern is for one run; use --include.")
    path = str(await of._client._gateway.api.resolve(of._path))
    selection = Selection(chosen.include, chosen.selection.exclude)
    is_everything = not selection.is_narrow
    _check_everything(removal, path, is_everything=is_everything)
    with _counting(output) as on_page:
        pending = await of._pending_deletions(selection, on_page)
    absence = _absence(chosen, pending)
    code = ExitCode.DONE if pending.files or absence else await explain_nothing(of, chosen, output)
    return _Found(path, code, pending, absence.errors(of), of_many=True, is_everything=is_everything)


def _absence(chosen: Chosen, pending: PendingDeletions) -> Absence:
    absence = Absence(chosen.names)
    if absence:
        for each in pending:
            absence.seen(each.file.name)
    return absence


def _confirmed(found: _Found) -> bool:
    pending = found.pending
    for line in _groups(pending) if found.of_many else _names(pending):
        print(f"  {line}", file=sys.stderr)
    runs = f"{counted(pending.runs, 'run')} of " if found.of_many else ""
    what = f"{counted(pending.files, 'file')}, {size_of(pending.bytes)}, of {runs}{printable(found.path)}"
    if not found.is_everything:
        return click.confirm(f"Delete {what}? There is no way back.", err=True)
    typed: str = click.prompt(
        f"Delete {what}, all that these runs have? There is no way back. Type {printable(found.path)} to delete them",
        err=True, default="", show_default=False,
    )  # fmt: skip
    return typed.strip() == found.path


def _names(pending: PendingDeletions) -> Iterator[str]:
    for each in islice(pending, NAMES_SHOWN):
        yield printable(each.file.name)
    if pending.files > NAMES_SHOWN:
        yield f"and {pending.files - NAMES_SHOWN:,} more"


def _groups(pending: PendingDeletions) -> Iterator[str]:
    """Yield the amounts to delete, by top-level folder or name, in all runs together."""
    sizes = Sizes(_outermost)
    for each in pending:
        sizes.add(each.file.name, each.file.size_bytes or 0)
    *groups, _ = sizes.rows()
    for group, size, files in groups[:NAMES_SHOWN]:
        yield f"{size_of(size):>10}  {counted(files, 'file'):>12}  {printable(group)}"
    if len(groups) > NAMES_SHOWN:
        yield f"and {len(groups) - NAMES_SHOWN:,} more names"


def _outermost(name: str) -> Iterator[str]:
    folder, slash, _ = name.partition("/")
    yield folder + slash


@contextmanager
def _counting(output: Output) -> Iterator[Callable[[PendingDeletions], None]]:
    """Show a count of listed files on a terminal."""
    if not output.shows_progress:
        yield lambda pending: None
        return
    with Console(stderr=True).status(Text("Listing")) as status:
        yield lambda pending: status.update(
            Text(f"Listing: {counted(pending.files, 'file')} of {counted(pending.runs, 'run')} to delete")
        )


async def _carry_out(removal: Removal, found: _Found, output: Output) -> DeletionReport:
    async with removal.open_api() as api:
        with _shown(found, removal, output) as on_result:
            deletion = api._gateway.deletion(found.where, on_result)
            try:
                act = deletion.preview if removal.dry_run else deletion.carry_out
                return await act(found.pending)
            except IncompleteDeletionError as error:
                return error.report


def _show_result(report: DeletionReport, found: _Found, output: Output) -> ExitCode:
    absent = found.absent
    if output.json:
        for error in absent:
            _write_json(FileResult(name=error.name, status="failed", error=error), with_run=False)
        counts = attrs.asdict(report, filter=attrs.filters.exclude("failures", "planned_files"))
        failed = report.failed + len(absent)
        write_json({"summary": counts | {"files": report.files + len(absent), "failed": failed}})
    else:
        if report.files > report.failed:
            output.say(_summarize(report))
        if report.failed:
            show_failures(report, found.name_of)
            output.say("Run the same command again to continue with what is left.")
        if absent:
            complain("\n".join(error.message for error in absent))
            output.say(NAMES_ARE_EXACT)
    if absent and not report.files:
        return ExitCode.NOT_FOUND
    return ExitCode.FAILED if absent or report.failed else found.code


@contextmanager
def _shown(found: _Found, removal: Removal, output: Output) -> Iterator[Callable[[FileResult], None]]:
    """Write a line per file, or a count on a terminal; if interrupted, report how far it got."""
    write_result, deleted, pending = _result_writer(found, output), 0, found.pending
    counts = output.shows_progress and is_terminal(sys.stdout) and not removal.dry_run and pending.files > 0
    status = Console(stderr=True).status(Text("Deleting")) if counts else None

    def note(result: FileResult) -> None:
        nonlocal deleted
        deleted += result.status == "deleted"
        if status is not None:
            status.update(Text(f"{deleted:,} of {counted(pending.files, 'file')} deleted"))
        else:
            write_result(result)

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


def _result_writer(found: _Found, output: Output) -> Callable[[FileResult], None]:
    if output.json:
        return partial(_write_json, with_run=found.of_many)
    return _ignore if output.quiet else partial(_write_line, found)


def _write_json(result: FileResult, *, with_run: bool) -> None:
    error = result.error
    shown = None if error is None else {"type": type(error).__name__, "message": explain(error)}
    run = {"run": result.run} if with_run else {}
    write_json(run | {"name": result.name, "status": result.status, "size": result.size, "error": shown})


def _write_line(found: _Found, result: FileResult) -> None:
    if result.error is None:
        write_row(found.name_of(result), result.size, result.status)


def _ignore(result: FileResult) -> None:
    pass


def _summarize(report: DeletionReport) -> str:
    if report.planned:
        return f"{counted(report.planned, 'file')}, {size_of(report.bytes)}, would be deleted."
    return f"{counted(report.deleted, 'file')}, {size_of(report.bytes)}, deleted in {seconds_of(report.seconds)}."
