"""The opaque ids and cursors of the API, which contain names. Performs no I/O."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Literal

IdKind = Literal["User", "Entity", "Project", "Run", "File", "cursor"]


class UnknownIdError(ValueError):
    """A string that is not an id of the expected kind."""


def encode_id(kind: IdKind, name: str) -> str:
    """Return the id for a name. It is always the same for the same name."""
    return base64.b64encode(f"{kind}:v1:{name}".encode()).decode("ascii")


def decode_id(kind: IdKind, text: str) -> str:
    """Return the name in an id.

    Raises:
        UnknownIdError: It is not an id of this kind.
    """
    prefix = f"{kind}:v1:"
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise UnknownIdError(f"{text!r} is no {kind} id") from error
    if not decoded.startswith(prefix):
        raise UnknownIdError(f"{text!r} is no {kind} id")
    return decoded.removeprefix(prefix)


def project_number(entity: str, project: str) -> int:
    """Return a project's internal number, which fits the 31 bits of GraphQL's ``Int``."""
    return zlib.crc32(f"{entity}/{project}".encode()) & 0x7FFFFFFF
