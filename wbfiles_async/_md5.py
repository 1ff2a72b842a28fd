"""Parses the md5 that W&B states for a file, and creates the hash to compare. Performs no I/O."""

from __future__ import annotations

import binascii
import hashlib
import re
from functools import lru_cache
from typing import Final

__all__ = ["new_md5", "parse_md5", "short_md5"]

SHORT_BYTES: Final = 32 << 10
"""Bytes that are hashed in a few hundredths of a millisecond."""

LOCKED_BYTES: Final = 2047
"""Maximum bytes that `hashlib` hashes without releasing Python's lock."""

_HEX = re.compile(r"[0-9A-Fa-f]{32}")
_BASE64 = re.compile(r"[0-9A-Za-z+/]{22}==")


def parse_md5(value: object) -> bytes | None:
    """Return the 16 bytes of a stated md5, ``None`` if there is none or it is malformed.

    W&B sends base64, which for 16 bytes has 24 characters; so 32 hexadecimal digits can only be the other common
    form and are accepted as well.
    """
    return _parse(value) if isinstance(value, str) else None


# Called several times per file.
@lru_cache(maxsize=4096)
def _parse(value: str) -> bytes | None:
    if _HEX.fullmatch(value):
        return bytes.fromhex(value)
    if not _BASE64.fullmatch(value):
        return None
    digest = binascii.a2b_base64(value, strict_mode=True)
    # The last digit has four spare bits; other texts for the same bytes do not come from an encoder.
    return digest if binascii.b2a_base64(digest, newline=False).decode() == value else None


def new_md5(data: bytes | memoryview = b"") -> hashlib._Hash:
    """Create the hash of the server's md5; allowed also if OpenSSL forbids md5 for security."""
    return hashlib.md5(data, usedforsecurity=False)


def short_md5(data: bytes | memoryview) -> bytes:
    """Return the md5 of a whole small file.

    A few kilobytes are hashed without releasing Python's lock: waiting for it again takes longer than hashing them.
    """
    step = LOCKED_BYTES if len(data) <= SHORT_BYTES else len(data)
    digest = new_md5()
    for start in range(0, len(data), step):
        digest.update(data[start : start + step])
    return digest.digest()
