"""What answers are made of: the folder's parts, and the paths under which its files are reached."""

from __future__ import annotations

import mimetypes
from urllib.parse import quote

import attrs

from wbfiles_async._models import RunPath
from wbfiles_async.testing._digests import Digests
from wbfiles_async.testing._records import RunRecords
from wbfiles_async.testing._signatures import Signatures
from wbfiles_async.testing._tree import Tree

# Own tables: those of the system would make the answers depend on the machine.
_TYPES = mimetypes.MimeTypes()


@attrs.frozen
class Site:
    """The parts that requests share.

    Attributes:
        tree: The served folder.
        records: Metadata of the runs.
        digests: md5 sums of the files.
        signatures: Signs the store's addresses.
        entity: The default entity, and the name of the one user.
    """

    tree: Tree
    records: RunRecords
    digests: Digests
    signatures: Signatures
    entity: str


def file_path(run: RunPath, name: str) -> str:
    """Return the decoded path of a file on the API, which wants credentials and redirects to the store."""
    return f"/files/{run}/{name}"


def store_path(run: RunPath, name: str) -> str:
    """Return the decoded path of a file in the store, which wants a signature."""
    return f"/store/{run}/{name}"


def quoted_file_path(run: RunPath, name: str) -> str:
    """Return `file_path` as it stands in an address."""
    return quote(file_path(run, name))


def media_type(name: str) -> str | None:
    """Guess the media type from a file's name; ``None`` if the name does not tell."""
    return _TYPES.guess_type(name)[0]
