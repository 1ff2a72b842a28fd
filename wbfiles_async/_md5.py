"""Read the md5 that W&B states for a file, and make the digest to compare it with. Performs no I/O."""

from __future__ import annotations

import binascii
import hashlib
import re
from functools import lru_cache

__all__ = ["new_md5", "parse_md5"]

_HEX = re.compile(r"[0-9A-Fa-f]{32}")
_BASE64 = re.compile(r"[0-9A-Za-z+/]{22}==")


def parse_md5(value: object) -> bytes | None:
    """Return the 16 bytes of a stated md5, ``None`` if there is none or it is malformed.

    W&B sends base64, which for 16 bytes has 24 characters; so 32 hexadecimal digits can only be the other
    common form and are taken as well.
    """
    return _parse(value) if isinstance(value, str) else None


# Needed several times for a file.
@lru_cache(maxsize=4096)
def _parse(value: str) -> bytes | None:
    if _HEX.fullmatch(value):
        return bytes.fromhex(value)
    if not _BASE64.fullmatch(value):
        return None
    digest = binascii.a2b_base64(value, strict_mode=True)
    # The last digit has four spare bits; another text for the same bytes was not written by an encoder.
    return digest if binascii.b2a_base64(digest, newline=False).decode() == value else None


def new_md5(data: bytes | memoryview = b"") -> hashlib._Hash:
    """Make the digest that the server states; allowed also where OpenSSL forbids md5 for security."""
    return hashlib.md5(data, usedforsecurity=False)
