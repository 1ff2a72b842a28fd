"""The values passed between the layers. Performs no I/O."""

from __future__ import annotations

from typing import Literal, get_args

import attrs


@attrs.frozen
class RunPath:
    """The path of a run: ``entity/project/run_id``.

    Attributes:
        entity: User or team; empty until the default entity is known.
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
    """The path of a project: ``entity/project``.

    Attributes:
        entity: User or team; empty until the default entity is known.
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
    """The server's attributes of one file, validated.

    Two are equal if all attributes are; URLs are compared without their signature, which differs in each response.

    Attributes:
        id: The file's own id.
        name: Its name in the run, with ``/`` between folders.
        url: On the API's host: requires credentials, redirects to a signed URL. For a reference file its URI.
        direct_url: Signed, expiring URL of the store. For a reference file the same URI as ``url``.
        size_bytes: Length in bytes; ``None`` if unknown.
        md5: As the server sends it, base64 of 16 bytes if well-formed; ``None`` if absent.
        mimetype: The media type, if known.
        updated_at: Time of the last change, as the server writes it.
        stripped: Whether signatures were removed from the URLs, as by pickling, so that they only identify the object.
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
"""What a bulk download does with an existing local file, and an upload with one on the server."""

EXISTING: tuple[Existing, ...] = get_args(Existing)

FileStatus = Literal["downloaded", "uploaded", "kept", "deleted", "planned", "failed"]

MARKS_UPLOADS = "MARK_RUN_FILES_UPLOADED"
"""The feature of servers on which uploads must be marked by a mutation."""


@attrs.frozen(kw_only=True)
class UploadUrl:
    """The upload target of one file.

    Attributes:
        name: The file's name in the run.
        url: Signed and expiring, or of the API's own host.
        headers: Header fields to send with the bytes; some stores include them in the signature.
    """

    name: str
    url: str = attrs.field(repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
