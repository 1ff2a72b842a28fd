"""The results of many files: reports, and the errors that carry them. Performs no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from wbfiles_async._errors import WBFilesError
from wbfiles_async._html import ROWS, line, table, titled
from wbfiles_async._models import FileStatus
from wbfiles_async._text import counted, seconds_of, size_of

__all__ = [
    "FAILURES_KEPT",
    "DeletionReport",
    "DownloadReport",
    "FileResult",
    "IncompleteDeletionError",
    "IncompleteDownloadError",
    "IncompleteUploadError",
    "UploadReport",
]

FAILURES_KEPT: Final = 1000
"""Maximum failures in a report, which counts them all."""


@attrs.frozen(kw_only=True)
class FileResult:
    """The result of one file of a bulk download, upload or deletion, or of a run whose files could not be listed.

    The name of such a run's result is empty.

    Attributes:
        name: The file's name in the run.
        status: ``downloaded``; ``uploaded``; ``kept``, it existed; ``deleted`` on the server; ``planned``,
            a dry run would download, upload or delete it; ``failed``.
        path: The local file; ``None`` if the name could not be used, in a deletion, and in an object store.
        url: Its URL in an object store; empty for a local file.
        size: Length in bytes, 0 if unknown.
        verified: Whether the md5 of the local bytes is the one that the server states: compared now, or by an earlier
            call and unchanged since.
        parts: Requests that the bytes of a download took; 0 if none was made.
        resumed: Bytes that an earlier, interrupted download had transferred.
        error: Why it failed; ``None`` otherwise.
        run: The run it belongs to, ``entity/project/run_id``.
        md5: The server's md5 of a downloaded file, base64; ``None`` if unknown, and for uploads and deletions.
    """

    name: str
    status: FileStatus
    path: Path | None = None
    url: str = ""
    size: int = 0
    verified: bool = False
    parts: int = 0
    resumed: int = 0
    error: WBFilesError | None = None
    run: str = ""
    md5: str | None = None


@attrs.frozen(kw_only=True)
class DownloadReport:
    """The report of a bulk download. Its size does not grow with the number of files that succeeded.

    Attributes:
        root: The folder below which the files were written, or the URL in an object store, as a string.
        files: Files that were considered, after ``include`` and ``exclude``, and runs that could not be listed.
        downloaded: Files downloaded in this call.
        kept: Existing files that were left as they are.
        planned: Files that a dry run would have downloaded.
        failed: Files that could not be downloaded, and runs that could not be listed.
        skipped: Files that were listed but not started, since the download stopped early; ``stopped`` is the reason.
        bytes: Bytes of the downloaded files (of the planned ones in a dry run).
        verified: Files whose md5 is the one that the server states; see ``FileResult.verified``.
        parts: Requests to the stores that delivered bytes.
        resumed: Files that continued an earlier, interrupted download.
        resumed_bytes: The share of ``bytes`` that earlier, interrupted downloads had transferred.
        seconds: Wall time of the call.
        failures: The failed files, each with its error; at most the first thousand.
        stopped: Why the download stopped early, such as a full disk; ``None`` if every listed file was tried. Further
            files may not have been listed by then.
    """

    root: Path | str
    files: int = 0
    downloaded: int = 0
    kept: int = 0
    planned: int = 0
    failed: int = 0
    skipped: int = 0
    bytes: int = 0
    verified: int = 0
    parts: int = 0
    resumed: int = 0
    resumed_bytes: int = 0
    seconds: float = 0.0
    failures: tuple[FileResult, ...] = attrs.field(default=(), repr=lambda failures: f"<{len(failures)} listed>")
    stopped: WBFilesError | None = None

    @property
    def rate(self) -> float:
        """Bytes downloaded per second, without resumed ones; 0 if the call took no time."""
        return (self.bytes - self.resumed_bytes) / self.seconds if self.downloaded and self.seconds else 0.0

    def __str__(self) -> str:
        """Return a summary in one line."""
        if not self.files:
            return "No files."
        clauses = []
        if self.planned:
            clauses.append(f"{counted(self.planned, 'file')}, {size_of(self.bytes)}, would be downloaded")
        if self.downloaded:
            clauses.append(counted(self.downloaded, "file"))
            if self.resumed_bytes:
                clauses.append(f"{size_of(self.bytes)}, {size_of(self.resumed_bytes)} of it resumed")
            clauses.append(f"{size_of(self.bytes - self.resumed_bytes)} in {seconds_of(self.seconds)}")
        if self.kept:
            clauses.append(f"{counted(self.kept, 'file')} already there")
        in_place = self.downloaded + self.kept
        if in_place and not self.planned:
            verified = "all verified" if self.verified == in_place else f"{self.verified or 'none'} verified"
            clauses += [verified, f"in {self.root}"]
        if self.failed:
            clauses.append(f"{self.failed:,} failed")
        if self.skipped:
            clauses.append(f"{self.skipped:,} not started")
        return ", ".join(clauses)

    def _repr_html_(self) -> str:
        return _report_html(self)


@attrs.frozen(kw_only=True)
class DeletionReport:
    """The report of a bulk deletion. Its size does not grow with the number of files that were deleted.

    Attributes:
        files: Files that were considered, after ``include`` and ``exclude``.
        deleted: Files that are no longer on the server; one that another client deleted counts too.
        planned: Files that a dry run would have deleted.
        failed: Files that remain, or may remain.
        bytes: Bytes of the deleted files (of the planned ones in a dry run), as far as known.
        seconds: Wall time, without that of the listing.
        failures: The failed files, each with its error; at most the first thousand.
        planned_files: The files that a dry run would have deleted; at most the first thousand.
    """

    files: int = 0
    deleted: int = 0
    planned: int = 0
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0
    failures: tuple[FileResult, ...] = ()
    planned_files: tuple[FileResult, ...] = ()

    def __str__(self) -> str:
        """Return a summary in one line."""
        if not self.files:
            return "No files."
        clauses = []
        if self.planned:
            clauses.append(f"{counted(self.planned, 'file')}, {size_of(self.bytes)}, would be deleted")
        if self.deleted:
            clauses.append(f"{counted(self.deleted, 'file')}, {size_of(self.bytes)}, deleted")
        if self.failed:
            clauses.append(f"{counted(self.failed, 'file')} left")
        return ", ".join(clauses)

    def _repr_html_(self) -> str:
        return _deletion_html(self)


@attrs.frozen(kw_only=True)
class UploadReport:
    """The report of an upload. Its size does not grow with the number of files that succeeded.

    Attributes:
        run: The run, ``entity/project/run_id``.
        files: Files that were considered, after ``include`` and ``exclude``.
        uploaded: Files that were sent in this call, and that the server lists.
        kept: Files that the server already had, which were not sent.
        planned: Files that a dry run would have sent.
        failed: Files that could not be uploaded.
        skipped: Files that were found but not started, since the upload stopped early; ``stopped`` is the reason.
        bytes: Bytes of the uploaded files (of the planned ones in a dry run).
        verified: Files for which the server states the md5 of the local bytes.
        seconds: Wall time of the call.
        failures: The failed files, each with its error; at most the first thousand.
        stopped: Why the upload stopped early, such as refused credentials; ``None`` if every file was tried.
    """

    run: str
    files: int = 0
    uploaded: int = 0
    kept: int = 0
    planned: int = 0
    failed: int = 0
    skipped: int = 0
    bytes: int = 0
    verified: int = 0
    seconds: float = 0.0
    failures: tuple[FileResult, ...] = attrs.field(default=(), repr=lambda failures: f"<{len(failures)} listed>")
    stopped: WBFilesError | None = None

    @property
    def rate(self) -> float:
        """Bytes sent per second; 0 if the call took no time."""
        return self.bytes / self.seconds if self.uploaded and self.seconds else 0.0

    def __str__(self) -> str:
        """Return a summary in one line."""
        if not self.files:
            return "No files."
        clauses = []
        if self.planned:
            clauses.append(f"{counted(self.planned, 'file')}, {size_of(self.bytes)}, would be uploaded")
        if self.uploaded:
            clauses.append(
                f"{counted(self.uploaded, 'file')}, {size_of(self.bytes)} uploaded in {seconds_of(self.seconds)}"
            )
        if self.kept:
            clauses.append(f"{counted(self.kept, 'file')} already there")
        there = self.uploaded + self.kept
        if there and not self.planned:
            clauses.append("all verified" if self.verified == there else f"{self.verified or 'none'} verified")
        if self.failed:
            clauses.append(f"{self.failed:,} failed")
        if self.skipped:
            clauses.append(f"{self.skipped:,} not started")
        return ", ".join(clauses)

    def _repr_html_(self) -> str:
        return _upload_html(self)


class IncompleteUploadError(WBFilesError):
    """Some files of an upload failed; the others are on the server.

    If the upload stopped early, such as for refused credentials, that error is the ``__cause__``.

    Attributes:
        report: The report, with each failure and its reason.

    Examples:
        ```python
        from wbfiles_async import IncompleteUploadError

        try:
            api.run("my-team/my-project/1a2b3c4d").upload("out", root="out")
        except IncompleteUploadError as error:
            for failure in error.report.failures:
                print(failure.name, failure.error)
        ```
    """

    def __init__(self, message: str, *, report: UploadReport) -> None:
        super().__init__(message)
        self.report = report


class IncompleteDownloadError(WBFilesError):
    """Some files of a bulk download failed; the others are in place.

    If the download stopped early, such as for a full disk, that error is the ``__cause__``.

    Attributes:
        report: The report, with each failure and its reason.

    Examples:
        ```python
        from wbfiles_async import IncompleteDownloadError

        try:
            api.run("my-team/my-project/1a2b3c4d").download("data")
        except IncompleteDownloadError as error:
            for failure in error.report.failures:
                print(failure.name, failure.error)
        ```
    """

    def __init__(self, message: str, *, report: DownloadReport) -> None:
        super().__init__(message)
        self.report = report


class IncompleteDeletionError(WBFilesError):
    """Some files of a bulk deletion remain, or may remain; the others were deleted.

    Attributes:
        report: The report, with each remaining file and the reason.
        names: The files that remain; at most the first thousand.

    Examples:
        ```python
        from wbfiles_async import IncompleteDeletionError

        try:
            api.run("my-team/my-project/1a2b3c4d").files().delete(include=["media/"])
        except IncompleteDeletionError as error:
            print(error.names, "are left")
        ```
    """

    def __init__(self, message: str, *, report: DeletionReport) -> None:
        super().__init__(message)
        self.report = report
        self.names = tuple(failure.name for failure in report.failures)


def _report_html(report: DownloadReport) -> str:
    """Show what a download did, and which files failed and why."""
    numbers = {
        "downloaded": f"{counted(report.downloaded, 'file')}, {size_of(report.bytes)}" if report.downloaded else "",
        "would be downloaded": f"{counted(report.planned, 'file')}, {size_of(report.bytes)}" if report.planned else "",
        "resumed": f"{counted(report.resumed, 'file')}, {size_of(report.resumed_bytes)}" if report.resumed else "",
        "already there": counted(report.kept, "file") if report.kept else "",
        "verified": counted(report.verified, "file") if report.verified else "",
        "failed": counted(report.failed, "file") if report.failed else "",
        "time": seconds_of(report.seconds),
    }
    parts = [
        titled("Download to", str(report.root)),
        table((), [("files", f"{report.files:,}"), *((name, number) for name, number in numbers.items() if number)]),
    ]
    return "".join(parts) + _failures(report.failures, report.failed)


def _upload_html(report: UploadReport) -> str:
    """Show what an upload did, and which files failed and why."""
    amount = size_of(report.bytes)
    numbers = {
        "uploaded": f"{counted(report.uploaded, 'file')}, {amount}" if report.uploaded else "",
        "would be uploaded": f"{counted(report.planned, 'file')}, {amount}" if report.planned else "",
        "already there": counted(report.kept, "file") if report.kept else "",
        "verified": counted(report.verified, "file") if report.verified else "",
        "failed": counted(report.failed, "file") if report.failed else "",
        "time": seconds_of(report.seconds),
    }
    rows = [("files", f"{report.files:,}"), *((name, number) for name, number in numbers.items() if number)]
    return titled("Upload to", report.run) + table((), rows) + _failures(report.failures, report.failed)


def _deletion_html(report: DeletionReport) -> str:
    """Show what a deletion did, and which files are left and why."""
    amount = size_of(report.bytes)
    numbers = {
        "deleted": f"{counted(report.deleted, 'file')}, {amount}" if report.deleted else "",
        "would be deleted": f"{counted(report.planned, 'file')}, {amount}" if report.planned else "",
        "left": counted(report.failed, "file") if report.failed else "",
        "time": "" if report.planned else seconds_of(report.seconds),
    }
    rows = [("files", f"{report.files:,}"), *((name, number) for name, number in numbers.items() if number)]
    return line("Deletion on the server") + table((), rows) + _failures(report.failures, report.failed)


def _failures(failures: Sequence[FileResult], number: int) -> str:
    if not failures:
        return ""
    rows = [(result.name, "" if result.error is None else str(result.error)) for result in failures[:ROWS]]
    more = line(f"and {number - ROWS:,} more") if number > ROWS else ""
    return table(("failed", "reason"), rows) + more
