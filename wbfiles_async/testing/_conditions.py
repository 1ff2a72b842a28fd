"""Evaluates the headers of conditional and range requests (RFC 9110, 13 and 14). Performs no I/O."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(\d{0,20})-(\d{0,20})", re.ASCII | re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?"[^"]*"')
_WEAK = "W/"


class UnsatisfiableRangeError(ValueError):
    """The range starts at or after the object's end."""


def select_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes that a ``Range`` header selects, as ``[start, stop)``.

    ``None`` means the whole object: there is no header, it is malformed, or it requests several ranges, which S3 also
    ignores.

    Args:
        header: The header's value.
        size: The object's length in bytes.

    Raises:
        UnsatisfiableRangeError: No byte of the object is in the range, as always for an empty object.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        if not last:
            return None
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise UnsatisfiableRangeError
    return start, stop


def names_etag(header: str, etag: str, *, weak: bool) -> bool:
    """Return whether a list of entity tags, or ``*``, matches an object's tag.

    Args:
        header: Value of ``If-Match`` or ``If-None-Match``.
        etag: The object's strong entity tag, with its quotes.
        weak: Whether a weak tag may match, as for ``If-None-Match`` but not for ``If-Match``.
    """
    if header.strip() == "*":
        return True
    tags: list[str] = _ETAG.findall(header)
    return any((tag.removeprefix(_WEAK) if weak else tag) == etag for tag in tags)
