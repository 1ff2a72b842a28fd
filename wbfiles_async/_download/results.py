"""Records the results of a bulk download or upload, and reports each to the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from wbfiles_async._download.planned import PlannedFile
from wbfiles_async._download.progress import Progress, labelled, report_resumed
from wbfiles_async._reports import FAILURES_KEPT, DownloadReport, FileResult
from wbfiles_async.errors import TransferError, WBFilesError

__all__ = ["KEPT", "Results", "failed", "kept", "unexpected"]

KEPT: Final = "What has arrived of it is kept"
"""How the note begins that an error has, if a part file is left."""


@attrs.define(eq=False)
class Results:
    """The results of the files so far.

    An exception of the caller's own callbacks ends the work; `is_callers` distinguishes it from a file's failure.

    Attributes:
        stopped: The error that stopped all further work, such as a full disk.
    """

    _progress: Progress | None
    _on_result: Callable[[FileResult], None] | None
    stopped: WBFilesError | None = None
    _totals: dict[str, int] = attrs.field(factory=dict, init=False)
    _failures: list[FileResult] = attrs.field(factory=list, init=False)
    _callback_error: Exception | None = attrs.field(default=None, init=False)

    def is_callers(self, error: Exception) -> bool:
        """Return whether an exception was raised by the caller's own callbacks."""
        return error is self._callback_error

    def progress_for(self, label: str) -> Progress | None:
        """Return the caller's progress object for the files of a run.

        Args:
            label: The prefix of their names.
        """
        return None if self._progress is None else labelled(_Guarded(self._progress, self._note), label)

    def add(self, result: FileResult) -> None:
        """Record one file's result."""
        self._count("files", 1)
        self._count(result.status, 1)
        self._count("verified", int(result.verified))
        self._count("parts", result.parts)
        self._count("resumed", int(result.resumed > 0))
        self._count("resumed_bytes", result.resumed)
        if result.status in ("downloaded", "uploaded", "planned"):
            self._count("bytes", result.size)
        if result.error is not None and len(self._failures) < FAILURES_KEPT:
            self._failures.append(result)
        if self._on_result is not None:
            try:
                self._on_result(result)
            except Exception as error:
                self._note(error)
                raise

    @property
    def totals(self) -> Mapping[str, int]:
        """The counts, by the names of the reports' attributes; missing ones are 0."""
        return self._totals

    @property
    def failures(self) -> tuple[FileResult, ...]:
        """The failed files, the first of them."""
        return tuple(self._failures)

    @property
    def is_watched(self) -> bool:
        """Whether there is a callback for each file."""
        return self._on_result is not None

    def add_downloaded(self, size: int, *, verified: bool) -> None:
        """Record a file of one request, without a callback."""
        for key in ("files", "downloaded", "parts"):
            self._count(key, 1)
        self._count("bytes", size)
        self._count("verified", int(verified))

    def skip(self, files: int) -> None:
        """Record files that were listed but not started."""
        self._count("files", files)
        self._count("skipped", files)

    def report(self, root: Path | str, seconds: float) -> DownloadReport:
        """Return the report."""
        return DownloadReport(root=root, seconds=seconds, failures=self.failures, stopped=self.stopped, **self._totals)

    def _count(self, key: str, count: int) -> None:
        self._totals[key] = self._totals.get(key, 0) + count

    def _note(self, error: Exception) -> None:
        self._callback_error = error


@attrs.frozen
class _Guarded:
    """Wraps the caller's progress object, and records its exceptions."""

    _progress: Progress
    _note: Callable[[Exception], None]

    def _notify(self, method: Callable[..., None], *args: object) -> None:
        try:
            method(*args)
        except Exception as error:
            self._note(error)
            raise

    def started(self, name: str, total: int | None) -> None:
        self._notify(self._progress.started, name, total)

    def advanced(self, name: str, count: int) -> None:
        self._notify(self._progress.advanced, name, count)

    def resumed(self, name: str, count: int) -> None:
        self._notify(partial(report_resumed, self._progress), name, count)

    def finished(self, name: str) -> None:
        self._notify(self._progress.finished, name)

    def failed(self, name: str, error: Exception) -> None:
        self._notify(self._progress.failed, name, error)


def failed(item: PlannedFile, error: WBFilesError) -> FileResult:
    """Return the result of a file that could not be downloaded."""
    return FileResult(
        name=item.attributes.name,
        status="failed",
        path=item.target.path,
        size=item.attributes.size_bytes or 0,
        run=str(item.listed.run),
        error=error,
    )


def kept(item: PlannedFile, *, verified: bool) -> FileResult:
    """Return the result of a kept file."""
    attributes = item.attributes
    return FileResult(
        name=attributes.name,
        status="kept",
        path=item.target.path,
        size=attributes.size_bytes or 0,
        verified=verified,
        run=str(item.listed.run),
    )


def unexpected(name: str, error: Exception) -> TransferError:
    """Return the error for an unexpected failure of one file, which does not stop the others."""
    failure = TransferError(f"{name}: an unexpected error, {type(error).__name__}: {error}", name=name)
    failure.__cause__ = error
    return failure
