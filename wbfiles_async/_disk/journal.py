"""The journal after the last byte of an unfinished file: its object, and the written parts.

Performs no I/O. It only saves work and is never trusted, since the md5 of the whole file is compared.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator

import attrs

from wbfiles_async._ranges import Range

__all__ = ["HEADER_BYTES", "Header", "Journal", "encode_header", "encode_part", "parse_journal"]

HEADER_BYTES = 4096
"""Bytes of the header, which is padded so that it can be rewritten in place; parts follow."""

_PART = struct.Struct("<QQ")
_FORMAT = 1

# RFC 9110, 8.8.3, in ASCII: it becomes a header of requests, and others could have written the file.
_ETAG = re.compile(r'(?:"[\x21\x23-\x7e]*")?')


@attrs.frozen(kw_only=True)
class Header:
    """The identity of the unfinished file.

    Attributes:
        size: Length of the whole file in bytes.
        md5: Its md5.
        etag: The strong validator of the stored object; empty until a response states one.
        host: Name of the machine that writes it.
        boot: The id of its last boot, since processes can only be found on this boot of this machine.
    """

    size: int
    md5: bytes
    etag: str
    host: str
    boot: str


@attrs.frozen
class Journal:
    """A header, and the written parts: ordered, disjoint, within the file."""

    header: Header
    parts: tuple[Range, ...]


def encode_header(header: Header) -> bytes:
    """Return a header of ``HEADER_BYTES``; a validator that is too long is omitted."""
    fields = attrs.asdict(header) | {"md5": header.md5.hex(), "format": _FORMAT}
    text = json.dumps(fields).encode()
    if len(text) > HEADER_BYTES:
        text = json.dumps(fields | {"etag": ""}).encode()
    return text.ljust(HEADER_BYTES)


def encode_part(part: Range) -> bytes:
    """Return the entry of a written part."""
    return _PART.pack(part.start, part.stop)


def parse_journal(text: bytes) -> Journal | None:
    """Parse the bytes after an unfinished file; ``None`` if they are no journal.

    A truncated or invalid entry is ignored.
    """
    try:
        fields = json.loads(text[:HEADER_BYTES])
        if fields.pop("format") != _FORMAT:
            return None
        header = Header(**fields | {"md5": bytes.fromhex(fields["md5"])})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    texts = (header.etag, header.host, header.boot)
    if type(header.size) is not int or header.size < 0 or not all(isinstance(each, str) for each in texts):
        return None
    if not _ETAG.fullmatch(header.etag):
        return None
    entries = text[HEADER_BYTES:]
    whole = entries[: len(entries) // _PART.size * _PART.size]
    parts = (Range(start, stop) for start, stop in _PART.iter_unpack(whole) if start < stop <= header.size)
    return Journal(header, tuple(_merged(parts)))


def _merged(parts: Iterator[Range]) -> Iterator[Range]:
    """Merge ranges, in order."""
    waiting: Range | None = None
    for part in sorted(parts, key=lambda part: part.start):
        if waiting is None or part.start > waiting.stop:
            if waiting is not None:
                yield waiting
            waiting = part
        else:
            waiting = Range(waiting.start, max(waiting.stop, part.stop))
    if waiting is not None:
        yield waiting
