"""``wbfiles put``: upload files and folders to a run, and report the results."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from wbfiles_async import AsyncRun
from wbfiles_async._cli.ending import ExitCode, complain
from wbfiles_async._cli.failures import described, show_failures
from wbfiles_async._cli.output import Output, is_terminal, write_json, write_row
from wbfiles_async._download.selection import Selection
from wbfiles_async._models import Existing
from wbfiles_async._reports import FileResult, UploadReport
from wbfiles_async._text import counted
from wbfiles_async.errors import UnsafePathError

_HOPELESS: set[type[object]] = {UnsafePathError}
"""Failures that a retry would repeat."""


@attrs.frozen(kw_only=True)
class Put:
    """The arguments of an upload.

    Attributes:
        run: Where to.
        paths: Files and folders.
        root: The folder that names in the run are relative to.
        selection: The selected files.
        existing: What to do with a file that the run has.
        dry_run: Whether to only report what would be done.
    """

    run: AsyncRun
    paths: tuple[Path, ...]
    root: Path
    selection: Selection
    existing: Existing = "verify"
    dry_run: bool = False


async def put(wanted: Put, output: Output) -> int:
    """Upload, and report each file and the total.

    Returns:
        The exit code.

    Raises:
        WBFilesError: Nothing could be uploaded.
    """
    report = await _upload(wanted, output, _writer(wanted, output))
    if output.json:
        write_json({"summary": _summary(report)})
    else:
        if report.failed < report.files:
            output.say(str(report))
        if report.failed:
            show_failures(report, lambda result: result.name)
            if {type(failure.error) for failure in report.failures} - _HOPELESS:
                output.say(_how_to_resume(wanted.existing))
    if not report.files:
        return _explain_nothing(wanted, output)
    return ExitCode.FAILED if report.failed else ExitCode.DONE


async def _upload(wanted: Put, output: Output, on_result: Callable[[FileResult], None]) -> UploadReport:
    there = 0

    def note(result: FileResult) -> None:
        nonlocal there
        there += result.status in ("uploaded", "kept")
        on_result(result)

    try:
        return await wanted.run.upload(
            wanted.paths,
            wanted.root,
            include=wanted.selection.include,
            exclude=wanted.selection.exclude,
            existing=wanted.existing,
            dry_run=wanted.dry_run,
            raise_on_error=False,
            progress=output.shows_progress or not (output.quiet or output.json),  # without a terminal, lines
            on_result=note,
        )
    except asyncio.CancelledError:
        complain(f"stopped with {counted(there, 'file')} uploaded.\n{_how_to_resume(wanted.existing)}")
        raise


def _explain_nothing(wanted: Put, output: Output) -> ExitCode:
    named = " ".join(map(str, wanted.paths))
    if wanted.selection.include is not None:
        complain(f"no file of {named} matches --include. Names are those in the run, below --root.")
        return ExitCode.NOT_FOUND
    output.say(f"No files in {named}." if wanted.selection.selects_all else "No files: --exclude leaves out all.")
    return ExitCode.DONE


def _writer(wanted: Put, output: Output) -> Callable[[FileResult], None]:
    """Choose how each file's result is written: as JSON, as a line, or not at all."""
    if output.json:
        return _write_json
    moving = output.shows_progress and is_terminal(sys.stdout) and not wanted.dry_run
    return _ignore if output.quiet or moving else _write_line


def _write_json(result: FileResult) -> None:
    write_json(
        {
            "run": result.run,
            "name": result.name,
            "status": result.status,
            "path": None if result.path is None else str(result.path),
            "size": result.size,
            "verified": result.verified,
            "error": described(result.error),
        }
    )


def _write_line(result: FileResult) -> None:
    if result.error is None:
        write_row(result.name, result.size, result.status)


def _ignore(result: FileResult) -> None:
    pass


def _summary(report: UploadReport) -> dict[str, object]:
    summary: dict[str, object] = attrs.asdict(report, filter=attrs.filters.exclude("failures"))
    return summary | {"rate": report.rate, "stopped": described(report.stopped)}


def _how_to_resume(existing: Existing) -> str:
    again = "Run the same command again" if existing in ("verify", "keep") else "Run it again with --existing verify"
    return f"{again} to upload what is missing."
