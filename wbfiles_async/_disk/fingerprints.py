"""The layout, in buckets of fixed size, of records of verified local files. Performs no I/O.

A record states of one path: a file with exactly this status had exactly this md5. It consists of hashes only, so
nothing in it is interpreted: either it equals the hash of the file's path, current status and expected md5, or it has
no effect. So damaged, mixed or forged records are harmless.
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

__all__ = ["BUCKET", "MAGIC", "find", "fingerprint", "number_of", "room", "split"]

MAGIC: Final = b"wbfiles state 1\n"
"""The beginning of the first bucket; in the others these bytes are zero."""

BUCKET: Final = 4096
"""Bytes of a bucket: a page of memory and of most disks, with room for 170 records."""

_TAG, _RECORD = 8, 24
_EMPTY: Final = bytes(_TAG)


class _Status(Protocol):
    """The fields of ``os.stat`` in a record. Programs cannot set the last one, except on Windows."""

    @property
    def st_dev(self) -> int: ...
    @property
    def st_ino(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...


def fingerprint(path: str, status: _Status, md5: bytes) -> bytes:
    """Return the record of a file: eight bytes from its path, then sixteen from its path, status and md5.

    Args:
        path: The file's path below the root.
        status: Its status. Device, inode and time of change are included, so that a copy has another record.
        md5: The md5 of its content.
    """
    tag = hashlib.blake2b(path.encode(), digest_size=_TAG, person=MAGIC).digest()
    facts = f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {md5.hex()} "
    rest = hashlib.blake2b(f"{facts}{path}".encode(), digest_size=_RECORD - _TAG, person=MAGIC).digest()
    return (tag if tag != _EMPTY else rest[:_TAG]) + rest


def number_of(record: bytes, buckets: int) -> int:
    """Return the number of the bucket for a record; ``buckets``, their total, is a power of two."""
    return int.from_bytes(record[:_TAG], "little") & (buckets - 1)


def find(bucket: bytes | bytearray, record: bytes) -> int | None:
    """Return the offset of the record of the same path; ``None`` if there is none."""
    return _find(bucket, record[:_TAG])


def room(bucket: bytes | bytearray, record: bytes) -> int | None:
    """Return the offset to write a record to: that of the same path, else a free one; ``None`` if there is neither."""
    own = find(bucket, record)
    return _find(bucket, _EMPTY) if own is None else own


def split(bucket: bytes, buckets: int) -> tuple[bytes, bytes]:
    """Split a bucket in two when the number of buckets doubles.

    Args:
        bucket: The bucket.
        buckets: The number of buckets before.

    Returns:
        The bucket with the records that stay, and the new one, whose number is greater by ``buckets``.
    """
    halves: tuple[list[bytes], list[bytes]] = [], []
    for at in range(len(MAGIC), BUCKET, _RECORD):
        record = bucket[at : at + _RECORD]
        if record[:_TAG] != _EMPTY:
            halves[number_of(record, 2 * buckets) >= buckets].append(record)
    stays, moves = (b"".join(half).ljust(BUCKET - len(MAGIC), b"\0") for half in halves)
    return bucket[: len(MAGIC)] + stays, bytes(len(MAGIC)) + moves


def _find(bucket: bytes | bytearray, tag: bytes) -> int | None:
    at = bucket.find(tag, len(MAGIC))
    while at >= 0 and (at - len(MAGIC)) % _RECORD:
        at = bucket.find(tag, at + 1)
    return at if at >= 0 else None
