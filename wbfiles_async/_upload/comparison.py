"""Compares an upload with the server's listing. Performs no I/O."""

from __future__ import annotations

import enum

from wbfiles_async._md5 import parse_md5
from wbfiles_async._models import FileAttributes

__all__ = ["Comparison", "compare_with_listing"]


class Comparison(enum.Enum):
    """The comparison of an uploaded file with a listing."""

    VERIFIED = "the server states the md5 of what was sent"
    THERE = "the server has a file of that length, and states no md5 to compare"
    MISSING = "the server does not know of it, or not yet"
    OTHER = "the server has other bytes"


def compare_with_listing(
    found: FileAttributes | None, before: FileAttributes | None, *, size: int, md5: bytes | None
) -> Comparison:
    """Compare an uploaded file with its listing.

    Args:
        found: The current entry.
        before: The entry before the upload.
        size: The number of sent bytes.
        md5: Their md5; ``None`` if it was not computed.
    """
    if found is None:
        return Comparison.MISSING
    stated = parse_md5(found.md5)
    if md5 is not None and stated == md5 and found.size_bytes in (None, size):
        return Comparison.VERIFIED
    if before is not None and _is_same(found, before):
        # Either the server's listing is outdated, or it is the same file again, without an md5.
        is_same = (md5 is None or stated is None) and found.size_bytes == size
        return Comparison.THERE if is_same else Comparison.MISSING
    if md5 is not None and stated is not None:
        return Comparison.OTHER
    if found.size_bytes is None:
        return Comparison.THERE
    return Comparison.THERE if found.size_bytes == size else Comparison.OTHER


def _is_same(one: FileAttributes, other: FileAttributes) -> bool:
    return (one.size_bytes, one.md5, one.updated_at) == (other.size_bytes, other.md5, other.updated_at)
