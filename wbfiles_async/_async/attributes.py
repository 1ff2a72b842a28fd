"""The attributes of one file, known without a request; shared by the async and the blocking object."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import ClassVar, Self

import attrs

from wbfiles_async._graphql.files_page import read_attributes
from wbfiles_async._graphql.path_uri import path_uri
from wbfiles_async._html import file_html, file_row
from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async._text import size_of
from wbfiles_async._urls import is_signed, without_secrets
from wbfiles_async.errors import ConfigurationError

log = logging.getLogger(__name__)

UNNAMED = "a file without a name"
"""The name of an unnamed file in messages."""


def without_signatures(attributes: FileAttributes) -> FileAttributes:
    """Remove the signed URLs: they are secrets until they expire, and then useless."""

    def keep(url: str | None) -> str | None:
        return without_secrets(url) if url and is_signed(url) else url

    stripped = attrs.evolve(attributes, url=keep(attributes.url), direct_url=keep(attributes.direct_url))
    changed = (stripped.url, stripped.direct_url) != (attributes.url, attributes.direct_url)
    return attrs.evolve(stripped, stripped=attributes.stripped or changed)


def attributes_of(given: Mapping[str, object]) -> FileAttributes:
    """Parse the server's dictionary of a file; any key may be missing.

    Raises:
        ConfigurationError: It is no dictionary.
    """
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"A file is made from the server's dictionary of it, such as {{'name': ..., 'url': ...}}, not from "
            f"{type(given).__name__}."
        )
    return read_attributes(given)


class FileFacts:
    """The attributes of one file, each in both spellings. Immutable."""

    __slots__ = ("_attributes", "_run_path")

    _noun: ClassVar[str] = "file"
    _columns: ClassVar[tuple[str, ...]] = ("name", "size", "type")
    _attributes: FileAttributes
    _run_path: RunPath | None

    def __init__(self, attributes: FileAttributes, run_path: RunPath | None) -> None:
        set_once = object.__setattr__
        set_once(self, "_attributes", attributes)
        set_once(self, "_run_path", run_path)

    def __setattr__(self, name: str, value: object) -> None:
        raise attrs.exceptions.FrozenInstanceError

    def __delattr__(self, name: str) -> None:
        raise attrs.exceptions.FrozenInstanceError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileFacts) or type(self) is not type(other):
            return NotImplemented
        return self._attributes == other._attributes and self._run_path == other._run_path

    def __hash__(self) -> int:
        return hash((self._attributes, self._run_path))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __repr__(self) -> str:
        where = f"{self._run_path}: " if self._run_path else ""
        size = "size unknown" if self.size_bytes is None else size_of(self.size_bytes)
        name = self.name or "without a name"
        return f"<{type(self).__name__} {where}{name} ({self.mimetype or 'type unknown'}, {size})>"

    def _repr_html_(self) -> str:
        return file_html(self._attributes, str(self._run_path or ""))

    def _row(self) -> tuple[str, ...]:
        return file_row(self._attributes)

    @property
    def id(self) -> str:
        """The file's own id on the server."""
        return self._attributes.id

    @property
    def name(self) -> str:
        """Name in the run, with ``/`` between folders; empty if the file was made without one."""
        return self._attributes.name

    @property
    def url(self) -> str | None:
        """URL on the API's host, which requires credentials and redirects to the store. For a reference its URI."""
        return self._attributes.url

    @property
    def direct_url(self) -> str | None:
        """Signed URL of the store, which expires: a secret until then. For a reference the same as ``url``."""
        return self._attributes.direct_url

    @property
    def size_bytes(self) -> int | None:
        """Length in bytes; ``None`` if unknown."""
        return self._attributes.size_bytes

    @property
    def size(self) -> int:
        """Length in bytes; 0 if unknown."""
        return self._attributes.size_bytes or 0

    @property
    def md5(self) -> str | None:
        """The md5 as the server states it: base64 of its 16 bytes."""
        return self._attributes.md5

    @property
    def mimetype(self) -> str | None:
        """The media type, if known."""
        return self._attributes.mimetype

    @property
    def updated_at(self) -> str | None:
        """Time of the last change, as the server writes it."""
        return self._attributes.updated_at

    @property
    def path_uri(self) -> str:
        """Where the file is in its store.

        Returns:
            ``s3://bucket/key`` if the file is in S3, the URI itself for a reference file, and otherwise an
            empty string, with a warning in the log.
        """
        uri = path_uri(self._attributes.url, self._attributes.direct_url)
        if not uri:
            log.warning("%s: path_uri is known for files in S3 and for references only", self.name or UNNAMED)
        return uri

    # W&B's server and client spell them so.
    directUrl = direct_url  # noqa: N815
    sizeBytes = size_bytes  # noqa: N815
    updatedAt = updated_at  # noqa: N815
    pathUri = path_uri  # noqa: N815
