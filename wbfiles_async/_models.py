"""The values that travel between the layers. Performs no I/O."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import attrs

from wbfiles_async._html import report_html
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

FileStatus = Literal["downloaded", "kept", "planned", "failed"]


@attrs.frozen(kw_only=True)
class FileResult:
    """What became of one file of a bulk download.

    Attributes:
        name: The file's name in the run.
        status: ``downloaded``; ``kept``, it was there already; ``planned``, a dry run would fetch it; ``failed``.
        path: The local file; ``None`` where the name could not be used.
        size: Length in bytes, 0 where unknown.
        verified: Whether the local bytes were compared with the server's md5.
        parts: Requests that the bytes came in; 0 where none was made.
        error: Why it failed; ``None`` otherwise.
    """

    name: str
    status: FileStatus
    path: Path | None = None
    size: int = 0
    verified: bool = False
    parts: int = 0
    error: WBFilesError | None = None


@attrs.frozen(kw_only=True)
class DownloadReport:
    """What a bulk download did. Its size does not grow with the number of files that succeeded.

    Attributes:
        root: The folder the files were written below.
        files: Files that were considered, after ``include`` and ``exclude``.
        downloaded: Files fetched in this call.
        kept: Files that were there already and were left as they are.
        planned: Files that a dry run would have fetched.
        failed: Files that could not be fetched.
        bytes: Bytes of the fetched files (of the planned ones in a dry run).
        verified: Files whose bytes were compared with the server's md5.
        parts: Requests to the stores that delivered bytes.
        seconds: Wall time of the call.
        failures: The failed files, each with its error; the first thousand where there are more.
    """

    root: Path
    files: int = 0
    downloaded: int = 0
    kept: int = 0
    planned: int = 0
    failed: int = 0
    bytes: int = 0
    verified: int = 0
    parts: int = 0
    seconds: float = 0.0
    failures: tuple[FileResult, ...] = ()

    def _repr_html_(self) -> str:
        return report_html(self)
