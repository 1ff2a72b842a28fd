"""Lay out, in buckets of fixed size, which local files were found to hold which md5. Performs no I/O.

A record says of one path: a file with exactly this status held bytes of exactly this md5. It consists of hashes
only, so nothing in it is ever interpreted: it either equals what is computed again from the file's status and the md5
that is expected now, or it says nothing. That makes any damage, mixture or forgery of records harmless.
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

__all__ = ["BUCKET", "MAGIC", "find", "fingerprint", "number_of", "room", "split"]

MAGIC: Final = b"wbfiles state 1\n"
"""What the first bucket begins with; in the others this much stays zero."""

BUCKET: Final = 4096
"""Bytes of a bucket: a page of memory and of most disks, with room for 170 records."""

_TAG, _RECORD = 8, 24
_EMPTY: Final = bytes(_TAG)


class _Status(Protocol):
    """What ``os.stat`` says of a file; nobody can set the last of these."""

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
    """Return the record of a file: eight bytes that stand for its path, sixteen for all there is to know of it.

    Args:
        path: The file's path below the root.
        status: Its status. Device, inode and time of change are part of it, so that a copy is another file.
        md5: Its content's.
    """
    tag = hashlib.blake2b(path.encode(), digest_size=_TAG, person=MAGIC).digest()
    facts = f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {md5.hex()} "
    rest = hashlib.blake2b(f"{facts}{path}".encode(), digest_size=_RECORD - _TAG, person=MAGIC).digest()
    return (tag if tag != _EMPTY else rest[:_TAG]) + rest


def number_of(record: bytes, buckets: int) -> int:
    """Return which bucket a record belongs to, of a number of them that is a power of two."""
    return int.from_bytes(record[:_TAG], "little") & (buckets - 1)


def find(bucket: bytes | bytearray, record: bytes) -> int | None:
    """Return where in the bucket the record of the same path begins; ``None`` if there is none."""
    return _find(bucket, record[:_TAG])


def room(bucket: bytes | bytearray, record: bytes) -> int | None:
    """Return where in the bucket the record shall go; ``None`` if the bucket is full."""
    own = find(bucket, record)
    return _find(bucket, _EMPTY) if own is None else own


def split(bucket: bytes, buckets: int) -> tuple[bytes, bytes]:
    """Divide a bucket's records for twice as many buckets.

    Args:
        bucket: The bucket.
        buckets: How many there were so far.

    Returns:
        The bucket as it remains, and the new one, which is ``buckets`` further on.
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
