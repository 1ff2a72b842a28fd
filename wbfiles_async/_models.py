"""The values that travel between the layers. Performs no I/O."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import attrs

from wbfiles_async._html import deletion_html, report_html
from wbfiles_async._text import counted, seconds_of, size_of
from wbfiles_async.errors import WBFilesError


@attrs.frozen
class RunPath:
    """Where a run lives: ``entity/project/run_id``.

    Attributes:
        entity: User or team; empty while the default entity has not been asked for.
        project: The project's name.
        run_id: The run's id (not its display name).
    """

    entity: str
    project: str
    run_id: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.entity, self.project, self.run_id) if part)


@attrs.frozen
class ProjectPath:
    """Where a project lives: ``entity/project``.

    Attributes:
        entity: User or team; empty while the default entity has not been asked for.
        project: The project's name.
    """

    entity: str
    project: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.entity, self.project) if part)


def _place_of(url: str | None) -> str | None:
    return url and url.partition("?")[0]


@attrs.frozen(kw_only=True)
class FileAttributes:
    """What the server says of one file, validated.

    Two are equal where they say the same of the file; of URLs the place counts and not the signature, which
    is another one in each answer.

    Attributes:
        id: The file's own id.
        name: Its name in the run, with ``/`` between folders.
        url: On the API's host: wants credentials, redirects to a signed URL. For a reference file its URI.
        direct_url: Signed, expiring URL of the store. For a reference file the same URI as ``url``.
        size_bytes: Length in bytes; ``None`` where the server does not know.
        md5: As the server sends it, base64 of 16 bytes where it is well-formed; ``None`` where absent.
        mimetype: The media type, where known.
        updated_at: Time of the last change, as the server writes it.
        stripped: Whether signatures were taken out of the URLs, as pickling does: they show the place, no more.
    """

    id: str
    name: str
    url: str | None = attrs.field(default=None, repr=False, eq=_place_of)
    direct_url: str | None = attrs.field(default=None, repr=False, eq=_place_of)
    size_bytes: int | None = None
    md5: str | None = None
    mimetype: str | None = None
    updated_at: str | None = None
    stripped: bool = attrs.field(default=False, eq=False, repr=False)


Existing = Literal["verify", "keep", "replace", "error"]
"""What a bulk download does with a file that is there."""

EXISTING: tuple[Existing, ...] = get_args(Existing)

FileStatus = Literal["downloaded", "kept", "deleted", "planned", "failed"]


@attrs.frozen(kw_only=True)
class FileResult:
    """What became of one file of a bulk download or deletion, or of a run whose files could not be listed.

    The name of such a run's result is empty.

    Attributes:
        name: The file's name in the run.
        status: ``downloaded``; ``kept``, it was there already; ``deleted`` on the server; ``planned``, what a dry run
            would fetch or delete; ``failed``.
        path: The local file; ``None`` where the name could not be used, and in a deletion.
        size: Length in bytes, 0 where unknown.
        verified: Whether the local bytes are those of the server's md5: compared now, or by an earlier call and
            unchanged since.
        parts: Requests that the bytes came in; 0 where none was made.
        resumed: Bytes that an earlier, interrupted download had brought already.
        error: Why it failed; ``None`` otherwise.
        run: The run it belongs to, ``entity/project/run_id``.
    """

    name: str
    status: FileStatus
    path: Path | None = None
    size: int = 0
    verified: bool = False
    parts: int = 0
    resumed: int = 0
    error: WBFilesError | None = None
    run: str = ""


@attrs.frozen(kw_only=True)
class DownloadReport:
    """What a bulk download did. Its size does not grow with the number of files that succeeded.

    Attributes:
        root: The folder the files were written below.
        files: Files that were considered, after ``include`` and ``exclude``, and runs that could not be listed.
        downloaded: Files fetched in this call.
        kept: Files that were there already and were left as they are.
        planned: Files that a dry run would have fetched.
        failed: Files that could not be fetched, and runs that could not be listed.
        skipped: Files that were listed and not begun, since something ended the work early; ``stopped`` tells what.
        bytes: Bytes of the fetched files (of the planned ones in a dry run).
        verified: Files whose bytes are those of the server's md5; see ``FileResult.verified``.
        parts: Requests to the stores that delivered bytes.
        resumed: Fetched files that went on from what an earlier, interrupted download had brought.
        seconds: Wall time of the call.
        failures: The failed files, each with its error; the first thousand where there are more.
        stopped: What ended the work early, such as a full disk; ``None`` where all that was listed was tried. There
            may be files that were not even listed by then.
    """

    root: Path
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
    seconds: float = 0.0
    failures: tuple[FileResult, ...] = attrs.field(default=(), repr=lambda failures: f"<{len(failures)} listed>")
    stopped: WBFilesError | None = None

    @property
    def rate(self) -> float:
        """Bytes fetched in a second, over the whole call; 0 where it took no time."""
        return self.bytes / self.seconds if self.downloaded and self.seconds else 0.0

    def __str__(self) -> str:
        """Say in one line what was done."""
        if not self.files:
            return "No files."
        clauses = []
        if self.planned:
            clauses.append(f"{counted(self.planned, 'file')}, {size_of(self.bytes)}, would be fetched")
        if self.downloaded:
            clauses.append(f"{counted(self.downloaded, 'file')}, {size_of(self.bytes)} in {seconds_of(self.seconds)}")
        if self.resumed:
            clauses.append(f"{self.resumed:,} resumed")
        if self.kept:
            clauses.append(f"{counted(self.kept, 'file')} already there")
        in_place = self.downloaded + self.kept
        if in_place and not self.planned:
            verified = "all verified" if self.verified == in_place else f"{self.verified or 'none'} verified"
            clauses += [verified, f"in {self.root}"]
        if self.failed:
            clauses.append(f"{self.failed:,} failed")
        if self.skipped:
            clauses.append(f"{self.skipped:,} not begun")
        return ", ".join(clauses)

    def _repr_html_(self) -> str:
        return report_html(self)


@attrs.frozen(kw_only=True)
class DeletionReport:
    """What a bulk deletion did. Its size does not grow with the number of files that were deleted.

    Attributes:
        files: Files that were considered, after ``include`` and ``exclude``.
        deleted: Files that are gone from the server; one that somebody else deleted meanwhile counts too.
        planned: Files that a dry run would have deleted.
        failed: Files that are left, or of which it is not known whether they are.
        bytes: Bytes of the deleted files (of the planned ones in a dry run), as far as known.
        seconds: Wall time, without that of the listing.
        failures: The failed files, each with its error; the first thousand where there are more.
        planned_files: The files that a dry run would have deleted; the first thousand where there are more.
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
        """Say in one line what was done."""
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
        return deletion_html(self)
