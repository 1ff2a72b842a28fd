"""The parts that all requests share, and the URL paths of files."""

from __future__ import annotations

import mimetypes
from urllib.parse import quote

import attrs

from wbfiles_async._models import RunPath
from wbfiles_async.testing._digests import Digests
from wbfiles_async.testing._records import RunRecords
from wbfiles_async.testing._signatures import Signatures
from wbfiles_async.testing._tree import Tree

# Own tables: with those of the system, responses would depend on the machine.
_TYPES = mimetypes.MimeTypes()


@attrs.frozen
class Site:
    """The parts that all requests share.

    Attributes:
        tree: The served folder.
        records: Metadata of the runs.
        digests: md5 digests of the files.
        signatures: Signs URLs of the store.
        entity: The default entity, and the name of the only user.
    """

    tree: Tree
    records: RunRecords
    digests: Digests
    signatures: Signatures
    entity: str


def file_path(run: RunPath, name: str) -> str:
    """Return the decoded path of a file in the API, which requires credentials and redirects to the store."""
    return f"/files/{run}/{name}"


def store_path(run: RunPath, name: str) -> str:
    """Return the decoded path of a file in the store, which requires a signature."""
    return f"/store/{run}/{name}"


def quoted_file_path(run: RunPath, name: str) -> str:
    """Return `file_path`, quoted for a URL."""
    return quote(file_path(run, name))


def media_type(name: str) -> str | None:
    """Guess the media type of a file from its name; ``None`` if unknown."""
    return _TYPES.guess_type(name)[0]
