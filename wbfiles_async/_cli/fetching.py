"""``wbfiles get``: fetch files of a run, and say what became of them."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from operator import itemgetter
from pathlib import Path

import attrs

from wbfiles_async._cli.chosen import NAMES_ARE_EXACT, Absence, Chosen
from wbfiles_async._cli.display import displayed
from wbfiles_async._cli.ending import ExitCode, complain, explain
from wbfiles_async._cli.output import Output, write_json, write_row
from wbfiles_async._cli.text import counted, printable
from wbfiles_async._models import DeletionReport, DownloadReport, Existing, FileResult
from wbfiles_async._run import AsyncRun
from wbfiles_async.errors import DestinationExistsError, UnsafePathError, UnsupportedReferenceError, WBFilesError

FAILURES_SHOWN = 10
"""Failures that people are told of by name; ``--json`` tells of all."""


HOPELESS: set[type[object]] = {UnsafePathError, UnsupportedReferenceError}
"""Failures that another try will meet again."""


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
            output.say(str(report))
        if report.failed:
            tell_failures(report)
        kinds = {type(failure.error) for failure in report.failures if failure not in absent}
        if UnsafePathError in kinds:
            output.say("A file whose name cannot be used here: wbfiles cat RUN NAME > FILE")
        if kinds - HOPELESS:
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
    try:
        async with AsyncExitStack() as stack:
            watched = output.shows_progress and not fetch.dry_run
            tally = await stack.enter_async_context(displayed(fetch.run, fetch.chosen)) if watched else None

            def note(result: FileResult) -> None:
                nonlocal in_place
                in_place += result.status in ("downloaded", "kept")
                if tally is not None:
                    tally.ended(result)
                on_result(result)

            return await fetch.chosen.of(fetch.run).download(
                fetch.root,
                include=fetch.chosen.selection.include,
                exclude=fetch.chosen.selection.exclude,
                existing=fetch.existing,
                dry_run=fetch.dry_run,
                raise_on_error=False,
                progress=tally,
                on_result=note,
            )
    except (asyncio.CancelledError, WBFilesError) as error:
        if in_place or isinstance(error, asyncio.CancelledError):
            complain(
                f"stopped with {counted(in_place, 'file')} in place in {fetch.root}.\n{_how_to_go_on(fetch.existing)}"
            )
        raise


def tell_failures(report: DownloadReport | DeletionReport) -> None:
    """Say which files failed and why."""
    lines = [f"{report.failed:,} of {counted(report.files, 'file')} failed:"]
    lines += [f"  {_reason(result)}" for result in _of_each_kind(report.failures)[:FAILURES_SHOWN]]
    if report.failed > FAILURES_SHOWN:
        lines.append(f"  and {report.failed - FAILURES_SHOWN:,} more; --json tells of all.")
    if isinstance(report, DownloadReport) and report.stopped is not None:
        lines.append("Nothing more was begun, since every further file would fail likewise.")
    complain("\n".join(lines))


def _of_each_kind(failures: Sequence[FileResult]) -> list[FileResult]:
    """Put the first failure of each kind first, then the second of each, so that many of one hide no other."""
    seen: Counter[type] = Counter()
    ranked: list[tuple[int, FileResult]] = []
    for failure in failures:
        kind = type(failure.error)
        ranked.append((seen[kind], failure))
        seen[kind] += 1
    return [failure for _, failure in sorted(ranked, key=itemgetter(0))]


def _writer(fetch: Fetch, output: Output) -> Callable[[FileResult], None]:
    """Choose who is told of each file: a program, a person who reads lines, or nobody."""
    if output.json:
        return _write_json
    moving = output.shows_progress and sys.stdout.isatty() and not fetch.dry_run
    return _ignore if output.quiet or moving else _write_line


def _write_json(result: FileResult) -> None:
    write_json(
        {
            "name": result.name,
            "status": result.status,
            "path": None if result.path is None else str(result.path),
            "size": result.size,
            "verified": result.verified,
            "parts": result.parts,
            "error": _described(result.error),
        }
    )


def _write_line(result: FileResult) -> None:
    if result.error is None:
        write_row(result.name, result.size, result.status)


def _ignore(result: FileResult) -> None:
    pass


def _summary(report: DownloadReport) -> dict[str, object]:
    summary: dict[str, object] = attrs.asdict(report, filter=attrs.filters.exclude("failures"))
    return summary | {"root": str(report.root), "rate": report.rate, "stopped": _described(report.stopped)}


def _described(error: WBFilesError | None) -> dict[str, str] | None:
    return None if error is None else {"type": type(error).__name__, "message": explain(error)}


def _reason(result: FileResult) -> str:
    error = result.error
    if isinstance(error, DestinationExistsError):  # its message speaks of arguments that no command has
        return printable(f"{error.path} already exists.")
    name, reason = printable(result.name), "" if error is None else printable(explain(error))
    return reason if name in reason else f"{name}: {reason}"


def _how_to_go_on(existing: Existing) -> str:
    again = "Run the same command again" if existing in ("verify", "keep") else "Run it again with --existing verify"
    return f"{again} to fetch what is missing."
