"""Stores in a file below the root which files were verified, so that they are not read again.

Blocking except for ``note`` and ``take``; run it through ``Disk``. The file is a table of hashes (see ``fingerprints``)
whose records are independent of each other. So downloads are correct whatever happens to it: two processes may write it
at the same time, even without working locks; either may be killed at any time; it may be truncated, mixed or removed.
At worst a file is read once more than necessary. A database would need locks and a journal for that.

A file counts as unchanged if its device, inode, size, and times of modification and change are the same as when it was
verified. Times are as coarse as the file system's clock, so a file is stored only if any later change will change them:

- a file that was read and compared, if its last change was well before the reading started;
- a file that was just published, if it still has the distinct modification time that it got then (see
  ``part_file.PartFile.publish``), which every change replaces.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from wbfiles_async._disk.fingerprints import BUCKET, MAGIC, find, fingerprint, number_of, room, split
from wbfiles_async._disk.folder import Folder, OpenFile, is_own
from wbfiles_async._disk.names import STATE_NAME
from wbfiles_async._disk.system import open_root

log = logging.getLogger(__name__)

BATCH_FILES = 256
"""Number of noted files to write together; fewer do not justify a file, since reading them takes only a moment."""

BATCH_BYTES = 32 << 20
"""Total size of noted files in bytes at which they are written; reading them would take a twentieth of a second."""

FIRST_BUCKETS, MOST_BUCKETS = 16, 1 << 16
"""From 64 KiB for 1,700 files to 256 MiB for 7 million: 40 to 75 bytes per file, mostly holes at first."""

MARGIN = 2.0
"""Seconds: the resolution of times on FAT, the coarsest in use."""


@attrs.frozen
class VerifiedFile:
    """A local file, and the md5 that its bytes have or should have.

    Attributes:
        path: Its path below the root.
        status: Its status before it was read, or when it was published.
        md5: The md5 of its bytes.
        read_at: The start of the reading, in monotonic seconds; ``None`` if it was not read.
    """

    path: str
    status: os.stat_result
    md5: bytes
    read_at: float | None = None


@attrs.define(eq=False)
class VerifiedFileCache:
    """The cache of one root. If its file cannot be read or written, it is empty.

    Args:
        root: The folder.
        active: Whether the cache is used.
    """

    root: Path
    _active: bool
    _open_file: OpenFile | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _noted: list[VerifiedFile] = attrs.field(factory=list, init=False)
    _noted_bytes: int = attrs.field(default=0, init=False)

    def known(self, files: Sequence[VerifiedFile]) -> list[bool]:
        """Return for each file whether its bytes are known to have the md5, from its status only."""
        with self._lock, self._unless_refused():
            if self._open(create=False):
                buckets = self._buckets()
                return [self._is_known(fingerprint(it.path, it.status, it.md5), buckets) for it in files]
        return [False] * len(files)

    def note(self, file: VerifiedFile) -> None:
        """Record a verified file, to be written later. Does not block."""
        if self._active:
            self._noted.append(file)
            self._noted_bytes += file.status.st_size

    @property
    def is_worth_writing(self) -> bool:
        """Whether enough files were noted to write them."""
        return len(self._noted) >= BATCH_FILES or self._noted_bytes >= BATCH_BYTES

    def take(self) -> Sequence[VerifiedFile]:
        """Remove and return the noted files. Does not block."""
        noted, self._noted, self._noted_bytes = self._noted, [], 0
        return noted

    def write(self, files: Sequence[VerifiedFile]) -> None:
        """Write verified files."""
        with self._lock, self._unless_refused():
            if self._open(create=True):
                now = self._clock()
                self._put(
                    [
                        fingerprint(file.path, file.status, file.md5)
                        for file in files
                        if file.read_at is None or self._is_settled(file.status, file.read_at, now)
                    ]
                )

    def close(self) -> None:
        """Write the noted files and close the cache. They do not create its file if it does not exist."""
        if self._noted and os.path.lexists(self.root / STATE_NAME):
            self.write(self.take())
        with self._lock:
            self._give_up()

    @contextmanager
    def _unless_refused(self) -> Iterator[None]:
        """Continue without the cache if its file cannot be used: disk full, read-only, another user's, removed."""
        try:
            yield
        except OSError as error:
            log.info("%s cannot be used (%s); files are compared without it", self.root / STATE_NAME, error.strerror)
            self._give_up()

    def _give_up(self) -> None:
        self._active = False
        file, self._open_file = self._open_file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    @property
    def _file(self) -> OpenFile:
        assert self._open_file is not None  # noqa: S101  # it was opened
        return self._open_file

    def _open(self, *, create: bool) -> bool:
        """Open the file if necessary, and return whether it can be used."""
        if not self._active or self._open_file is not None:
            return self._active
        try:
            folder = open_root(self.root)
        except FileNotFoundError:
            if create:
                raise
            return False
        try:
            self._open_file = _state_of(folder, create=create)
        finally:
            folder.close()
        if self._open_file is None:
            return False
        if not self._is_ours():
            log.warning(
                "%s is not a file that this user's downloads made, and is not used; remove it to have unchanged files "
                "recognized without reading them", self.root / STATE_NAME,
            )  # fmt: skip
            self._give_up()
        elif create and not self._buckets():
            self._file.leave_holes()
            _write(self._file, MAGIC, 0)
            self._file.cut(FIRST_BUCKETS * BUCKET)
        return self._active

    def _is_ours(self) -> bool:
        """Return whether only this user can have written the file, and whether it is a cache or empty."""
        status = self._file.status()
        return is_own(status) and (status.st_size == 0 or self._file.read(len(MAGIC), 0) == MAGIC)

    def _buckets(self) -> int:
        """Return the current number of buckets; another process may have added some."""
        whole = min(self._file.status().st_size // BUCKET, MOST_BUCKETS)
        return 1 << (whole.bit_length() - 1) if whole else 0

    def _is_known(self, record: bytes, buckets: int) -> bool:
        if not buckets:
            return False
        bucket = self._read(number_of(record, buckets))
        at = find(bucket, record)
        return at is not None and bucket.startswith(record, at)

    def _put(self, records: list[bytes]) -> None:
        """Write records, each bucket once; double the buckets while one is full."""
        while records:
            buckets = self._buckets() or FIRST_BUCKETS
            by_bucket: dict[int, list[bytes]] = {}
            for record in records:
                by_bucket.setdefault(number_of(record, buckets), []).append(record)
            records = [left for number, together in by_bucket.items() for left in self._put_into(number, together)]
            if not records or buckets == MOST_BUCKETS:
                return
            self._grow(buckets)

    def _put_into(self, number: int, records: Iterable[bytes]) -> Iterator[bytes]:
        """Write records into a bucket, and yield those that do not fit."""
        before = self._read(number)
        bucket = bytearray(before)
        for record in records:
            at = room(bucket, record)
            if at is None:
                yield record
            else:
                bucket[at : at + len(record)] = record
        if bucket != before:
            _write(self._file, bytes(bucket), number * BUCKET)

    def _grow(self, buckets: int) -> None:
        """Double the number of buckets. If it is interrupted, some records are no longer found."""
        self._file.cut(2 * buckets * BUCKET)
        for number in range(buckets):
            stays, moves = split(self._read(number), buckets)
            _write(self._file, moves, (number + buckets) * BUCKET)
            _write(self._file, stays, number * BUCKET)

    def _read(self, number: int) -> bytes:
        return self._file.read(BUCKET, number * BUCKET).ljust(BUCKET, b"\0")

    def _clock(self) -> os.stat_result:
        """Return a status with the file system's current time, which alone can be compared with times of its files."""
        self._file.touch()
        return self._file.status()

    def _is_settled(self, status: os.stat_result, read_at: float, now: os.stat_result) -> bool:
        """Return whether any change since the start of the reading would have changed the file's times."""
        began = now.st_mtime_ns - int((time.monotonic() - read_at + MARGIN) * 1e9)
        return status.st_dev == now.st_dev and max(status.st_mtime_ns, status.st_ctime_ns) < began


def _state_of(folder: Folder, *, create: bool) -> OpenFile | None:
    try:
        return folder.open(STATE_NAME)
    except FileNotFoundError:
        if not create:
            return None
    with suppress(FileExistsError):
        folder.create(STATE_NAME).close()
    return folder.open(STATE_NAME)


def _write(file: OpenFile, data: bytes, offset: int) -> None:
    if file.write(data, offset) != len(data):
        raise OSError("the disk took only a part of the data")
