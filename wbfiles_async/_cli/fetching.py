"""``wbfiles get``: fetch files of a run, and say what became of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from wbfiles_async._cli.chosen import NAMES_ARE_EXACT, Absence, Chosen
from wbfiles_async._cli.ending import ExitCode, complain, explain
from wbfiles_async._cli.output import Output, write_json, write_row
from wbfiles_async._models import DownloadReport, Existing, FileResult
from wbfiles_async._run import AsyncRun
from wbfiles_async._text import counted, printable, seconds_of, size_of
from wbfiles_async.errors import DestinationExistsError, WBFilesError

FAILURES_SHOWN = 10
"""Failures that people are told of by name; ``--json`` tells of all."""


@attrs.frozen(kw_only=True)
class Fetch:
    """What is to be fetched, and how.

    Attributes:
        run: The run.
        chosen: Which of its files.
        root: The folder they go below.
        existing: What to do with a file that is there.
        dry_run: Whether to only tell what would be done.
    """

    run: AsyncRun
    chosen: Chosen
    root: Path
    existing: Existing = "verify"
    dry_run: bool = False


async def get(fetch: Fetch, output: Output) -> int:
    """Fetch, telling of each file and of the whole.

    Returns:
        The exit code.

    Raises:
        WBFilesError: The listing failed.
    """
    write = _writer(fetch, output)
    absence = Absence(fetch.chosen.names)

    def note(result: FileResult) -> None:
        absence.seen(result.name)
        write(result)

    report = await download(fetch, output, note)
    found = report.files > 0
    absent = [FileResult(name=error.name, status="failed", error=error) for error in absence.errors(fetch.run)]
    for result in absent:
        write(result)
    report = attrs.evolve(
        report,
        files=report.files + len(absent),
        failed=report.failed + len(absent),
        failures=(*report.failures, *absent),
    )
    if output.json:
        write_json({"summary": _summary(report)})
    else:
        if report.failed < report.files or not report.files:
            output.say(_summarize(report))
        if report.failed:
            tell_failures(report)
        if report.failed > len(absent):
            output.say(_how_to_go_on(fetch.existing))
        if absence:
            output.say(NAMES_ARE_EXACT)
    return absence.exit_code(found=found) or (ExitCode.FAILED if report.failed else ExitCode.DONE)


async def download(fetch: Fetch, output: Output, on_result: Callable[[FileResult], None]) -> DownloadReport:
    """Download, showing progress to whoever watches.

    Args:
        fetch: What.
        output: What the user wants to see.
        on_result: Told of each file's end.

    Raises:
        WBFilesError: The listing failed; the user was told what is in place.
    """
    in_place = 0

    def note(result: FileResult) -> None:
        nonlocal in_place
        in_place += result.status in ("downloaded", "kept")
        on_result(result)

    try:
        return await fetch.chosen.of(fetch.run).download(
            fetch.root,
            include=fetch.chosen.selection.include,
            exclude=fetch.chosen.selection.exclude,
            existing=fetch.existing,
            dry_run=fetch.dry_run,
            raise_on_error=False,
            progress=output.shows_progress,
            on_result=note,
        )
    except (asyncio.CancelledError, WBFilesError) as error:
        if in_place or isinstance(error, asyncio.CancelledError):
            how = f"\n{_how_to_go_on(fetch.existing)}" if in_place else ""
            complain(f"stopped with {counted(in_place, 'file')} in place in {fetch.root}.{how}")
        raise


def _summarize(report: DownloadReport) -> str:
    """Say in one line what was done."""
    if not report.files:
        return "No files."
    clauses = []
    if report.planned:
        clauses.append(f"{counted(report.planned, 'file')}, {size_of(report.bytes)}, would be fetched")
    if report.downloaded:
        clauses.append(f"{counted(report.downloaded, 'file')}, {size_of(report.bytes)} in {seconds_of(report.seconds)}")
    if report.kept:
        clauses.append(f"{counted(report.kept, 'file')} already there")
    in_place = report.downloaded + report.kept
    if in_place and not report.planned:
        verified = "all verified" if report.verified == in_place else f"{report.verified or 'none'} verified"
        clauses += [verified, f"in {report.root}"]
    return ", ".join(clauses)


def tell_failures(report: DownloadReport) -> None:
    """Say which files failed and why."""
    lines = [f"{report.failed:,} of {counted(report.files, 'file')} failed:"]
    lines += [f"  {_reason(result)}" for result in report.failures[:FAILURES_SHOWN]]
    if report.failed > FAILURES_SHOWN:
        lines.append(f"  and {report.failed - FAILURES_SHOWN:,} more; --json tells of all.")
    complain("\n".join(lines))


def _writer(fetch: Fetch, output: Output) -> Callable[[FileResult], None]:
    """Choose who is told of each file: a program, a person who reads lines, or nobody."""
    if output.json:
        return _write_json
    moving = output.shows_progress and sys.stdout.isatty() and not fetch.dry_run
    return _ignore if output.quiet or moving else _write_line


def _write_json(result: FileResult) -> None:
    error = result.error
    write_json(
        {
            "name": result.name,
            "status": result.status,
            "path": None if result.path is None else str(result.path),
            "size": result.size,
            "verified": result.verified,
            "parts": result.parts,
            "error": None if error is None else {"type": type(error).__name__, "message": explain(error)},
        }
    )


def _write_line(result: FileResult) -> None:
    if result.error is None:
        write_row(result.name, result.size, result.status)


def _ignore(result: FileResult) -> None:
    pass


def _summary(report: DownloadReport) -> dict[str, object]:
    summary: dict[str, object] = attrs.asdict(report, filter=attrs.filters.exclude("failures"))
    return summary | {"root": str(report.root)}


def _reason(result: FileResult) -> str:
    error = result.error
    if isinstance(error, DestinationExistsError):  # its message speaks of arguments that no command has
        return printable(f"{error.path} already exists.")
    name, reason = printable(result.name), "" if error is None else printable(explain(error))
    return reason if name in reason else f"{name}: {reason}"


def _how_to_go_on(existing: Existing) -> str:
    again = "Run the same command again" if existing in ("verify", "keep") else "Run it again with --existing verify"
    return f"{again} to fetch what is missing."
