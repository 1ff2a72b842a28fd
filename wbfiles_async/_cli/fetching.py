"""``wbfiles get``: download files of a run or a project, and report the results."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import attrs

from wbfiles_async._async.run import AsyncRun
from wbfiles_async._async.runs import AsyncRuns
from wbfiles_async._cli.chosen import NAMES_ARE_EXACT, Absence, Chosen, SeveralRuns
from wbfiles_async._cli.ending import ExitCode, complain
from wbfiles_async._cli.failures import described, show_failures
from wbfiles_async._cli.manifests import open_manifest
from wbfiles_async._cli.nothing import explain_nothing
from wbfiles_async._cli.output import Output, is_terminal, write_json, write_row
from wbfiles_async._models import Existing
from wbfiles_async._options import LAYOUT
from wbfiles_async._reports import DownloadReport, FileResult
from wbfiles_async._text import counted, printable
from wbfiles_async.errors import (
    NameCollisionError,
    UnsafePathError,
    UnsupportedReferenceError,
    WBFilesError,
)

HOPELESS: set[type[object]] = {NameCollisionError, UnsafePathError, UnsupportedReferenceError}
"""Failures that a retry would repeat."""


@attrs.frozen(kw_only=True)
class Fetch:
    """The arguments of a download.

    Attributes:
        target: The run, the runs of a project, or runs that were named.
        chosen: The selected files.
        root: The root: a folder, or the URL of a place in an object store.
        existing: What to do with an existing file.
        dry_run: Whether to only report what would be done.
        layout: The folders of each run's files.
        manifest: The manifest to write.
    """

    target: AsyncRun | AsyncRuns | SeveralRuns
    chosen: Chosen
    root: Path | str
    existing: Existing = "verify"
    dry_run: bool = False
    layout: str = LAYOUT
    manifest: Path | None = None

    @property
    def of_many(self) -> bool:
        """Whether files of several runs may have the same name."""
        return not isinstance(self.target, AsyncRun)

    @property
    def work(self) -> Callable[..., Awaitable[DownloadReport]]:
        """The download, as a function of the remaining arguments."""
        if isinstance(self.target, AsyncRuns):
            return partial(self.target.download, layout=self.layout, include=self.chosen.include)
        if isinstance(self.target, SeveralRuns):
            download = partial(self.target.client.download, self.target.runs)
            return partial(download, layout=self.layout, include=self.chosen.include)
        return partial(self.chosen.of(self.target).download, include=self.chosen.include)

    @property
    def is_shard(self) -> bool:
        """Whether it is a shard of a project, which others complete."""
        return isinstance(self.target, AsyncRuns) and self.target._share is not None

    def name_of(self, result: FileResult) -> str:
        """Return the name that distinguishes the file from the others."""
        if not self.of_many or not result.run:
            return result.name
        return f"{result.run.rpartition('/')[2]}/{result.name}".rstrip("/")


async def get(fetch: Fetch, output: Output) -> int:
    """Download, and report each file and the total.

    Returns:
        The exit code.

    Raises:
        WBFilesError: The listing failed.
    """
    async with AsyncExitStack() as at_end:
        writers = [_writer(fetch, output)]
        if fetch.manifest is not None:
            writers.append(await at_end.enter_async_context(open_manifest(fetch.manifest)))
        return await _get(fetch, output, writers)


async def _get(fetch: Fetch, output: Output, writers: Sequence[Callable[[FileResult], None]]) -> int:
    absence = Absence(fetch.chosen.names)

    def write(result: FileResult) -> None:
        for each in writers:
            each(result)

    def note(result: FileResult) -> None:
        absence.seen(result.name)
        write(result)

    report = await download(fetch, output, note)
    if fetch.is_shard:
        absence = Absence(())  # a name missing here may be in another shard
    found = report.files > 0
    lacking = str(fetch.target._path) if isinstance(fetch.target, AsyncRun) else ""
    absent = [
        FileResult(name=error.name, status="failed", error=error, run=lacking) for error in absence.errors(fetch.target)
    ]
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
        if report.failed < report.files:
            output.say(str(report))
        if report.failed:
            show_failures(report, fetch.name_of)
        kinds = {type(failure.error) for failure in report.failures if failure not in absent}
        if UnsafePathError in kinds:
            output.say("To download a file whose name cannot be used here: wbfiles cat RUN NAME > FILE")
        if kinds - HOPELESS:
            output.say(_how_to_resume(fetch.existing))
        if absence:
            output.say(NAMES_ARE_EXACT)
            if not found and (folder := _meant_for_a_folder(fetch.chosen.names)):
                output.say(f"The folder to download to is given by --root: --root {folder}")
    if not report.files and fetch.is_shard:
        output.say("No files in this shard.")
        return ExitCode.DONE
    if not report.files:
        return await explain_nothing(fetch.target, fetch.chosen, output)
    return absence.exit_code(found=found) or (ExitCode.FAILED if report.failed else ExitCode.DONE)


def _meant_for_a_folder(names: tuple[str, ...]) -> str | None:
    """Return a name that was probably meant as the destination folder, like the last argument of cp and scp."""
    if len(names) != 1 or not names[0]:
        return None
    name = names[0]
    looks_so = name.endswith("/") or "." not in name.rpartition("/")[2].lstrip(".") or Path(name).is_dir()
    return printable(shlex.quote(name)) if looks_so else None


async def download(fetch: Fetch, output: Output, on_result: Callable[[FileResult], None]) -> DownloadReport:
    """Download with a progress display.

    Args:
        fetch: The download.
        output: The output options.
        on_result: Called with each file's result.

    Raises:
        WBFilesError: The listing failed; a message states what was downloaded.
    """
    in_place = 0

    def note(result: FileResult) -> None:
        nonlocal in_place
        in_place += result.status in ("downloaded", "kept")
        on_result(result)

    try:
        return await fetch.work(
            fetch.root,
            exclude=fetch.chosen.selection.exclude,
            existing=fetch.existing,
            dry_run=fetch.dry_run,
            raise_on_error=False,
            progress=output.shows_progress or not (output.quiet or output.json),  # without a terminal, lines
            on_result=note,
        )
    except (asyncio.CancelledError, WBFilesError) as error:
        if in_place or isinstance(error, asyncio.CancelledError):
            complain(
                f"stopped with {counted(in_place, 'file')} complete in {fetch.root}.\n{_how_to_resume(fetch.existing)}"
            )
        raise


def _writer(fetch: Fetch, output: Output) -> Callable[[FileResult], None]:
    """Choose how each file's result is written: as JSON, as a line, or not at all."""
    if output.json:
        return _write_json
    moving = output.shows_progress and is_terminal(sys.stdout) and not fetch.dry_run
    return _ignore if output.quiet or moving else partial(_write_line, fetch)


def _write_json(result: FileResult) -> None:
    write_json(
        {
            "run": result.run,
            "name": result.name,
            "status": result.status,
            "path": result.url or (None if result.path is None else str(result.path)),
            "size": result.size,
            "verified": result.verified,
            "parts": result.parts,
            "resumed": result.resumed,
            "error": described(result.error),
        }
    )


def _write_line(fetch: Fetch, result: FileResult) -> None:
    if result.error is None:
        write_row(fetch.name_of(result), result.size, result.status)


def _ignore(result: FileResult) -> None:
    pass


def _summary(report: DownloadReport) -> dict[str, object]:
    summary: dict[str, object] = attrs.asdict(report, filter=attrs.filters.exclude("failures"))
    return summary | {"root": str(report.root), "rate": report.rate, "stopped": described(report.stopped)}


def _how_to_resume(existing: Existing) -> str:
    again = "Run the same command again" if existing in ("verify", "keep") else "Run it again with --existing verify"
    return f"{again} to download what is missing."
