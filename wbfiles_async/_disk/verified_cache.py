"""Keeps, in one file below the root, which files were verified, so that they are not read again.

Blocking, but for ``note`` and ``take``; run it through ``Disk``. The file is a table of hashes (see ``fingerprints``)
in which each record stands for itself. So nothing about it needs to hold for a download to be right: two processes may
write it at once, on a file system whose locks lie; either may be killed at any point; it may be cut, mixed up or
removed. At worst a file is read once more than needed. A database would need locks and a journal to survive as much.

A file is taken as unchanged where its device, inode, size, and times of modification and change are the same as
when it was known to be right. Times are as coarse as the file system's clock, so a file is remembered only if a
later change is bound to show in them:

- one that was read and compared, if it had last been changed well before the reading began;
- one that was just put in place, if it still bears the time of modification that was given to it alone (see
  ``part_file.PartFile.publish``), which no change leaves behind.
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
"""Files after which they are written down together; fewer are not worth a file, since to read them takes a moment."""

BATCH_BYTES = 32 << 20
"""Bytes of files after which they are written down; to read so many takes a twentieth of a second."""

FIRST_BUCKETS, MOST_BUCKETS = 16, 1 << 16
"""From 64 KiB for 1,700 files to 256 MiB for 7 million: 40 to 75 bytes a file, most of which are holes at first."""

MARGIN = 2.0
"""Seconds; the coarsest clock of a file system, that of FAT."""


@attrs.frozen
class VerifiedFile:
    """A local file and the md5 that its bytes have, or are expected to have.

    Attributes:
        path: Its path below the root.
        status: Its status from before it was read, or from when it was put in place.
        md5: The md5 of its bytes.
        read_at: When the reading began, in monotonic seconds; ``None`` if it was not read.
    """

    path: str
    status: os.stat_result
    md5: bytes
    read_at: float | None = None


@attrs.define(eq=False)
class VerifiedFileCache:
    """The cache of one root. If it cannot be read or written, it holds nothing.

    Args:
        root: The folder.
        active: Whether it is used at all.
    """

    root: Path
    _active: bool
    _open_file: OpenFile | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _noted: list[VerifiedFile] = attrs.field(factory=list, init=False)
    _noted_bytes: int = attrs.field(default=0, init=False)

    def known(self, files: Sequence[VerifiedFile]) -> list[bool]:
        """Return which of the files are known to hold bytes of that md5, by their status alone."""
        with self._lock, self._unless_refused():
            if self._open(create=False):
                buckets = self._buckets()
                return [self._is_known(fingerprint(it.path, it.status, it.md5), buckets) for it in files]
        return [False] * len(files)

    def note(self, file: VerifiedFile) -> None:
        """Note that a file is right. Does not block."""
        if self._active:
            self._noted.append(file)
            self._noted_bytes += file.status.st_size

    @property
    def is_worth_writing(self) -> bool:
        """Whether so much was noted that it should be written down."""
        return len(self._noted) >= BATCH_FILES or self._noted_bytes >= BATCH_BYTES

    def take(self) -> Sequence[VerifiedFile]:
        """Return what was noted and not taken yet, to be written. Does not block."""
        noted, self._noted, self._noted_bytes = self._noted, [], 0
        return noted

    def write(self, files: Sequence[VerifiedFile]) -> None:
        """Write down that the files are right."""
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
        """Write down the rest and let go of the file. A few small files do not make one if there is none."""
        if self._noted and os.path.lexists(self.root / STATE_NAME):
            self.write(self.take())
        with self._lock:
            self._give_up()

    @contextmanager
    def _unless_refused(self) -> Iterator[None]:
        """Go on without the cache if the disk refuses: full, read-only, of another user, gone."""
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
        """Return whether there is a file to use."""
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
        """Judge whether nobody else could have written the file, and that it is no other file under this name."""
        status = self._file.status()
        return is_own(status) and (status.st_size == 0 or self._file.read(len(MAGIC), 0) == MAGIC)

    def _buckets(self) -> int:
        """Return how many buckets there are now; another process may have added some."""
        whole = min(self._file.status().st_size // BUCKET, MOST_BUCKETS)
        return 1 << (whole.bit_length() - 1) if whole else 0

    def _is_known(self, record: bytes, buckets: int) -> bool:
        if not buckets:
            return False
        bucket = self._read(number_of(record, buckets))
        at = find(bucket, record)
        return at is not None and bucket.startswith(record, at)

    def _put(self, records: list[bytes]) -> None:
        """Write records down, each bucket once; where one is full, make more of them."""
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
        """Write records into a bucket, and return those that find no room."""
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
        """Double the number of buckets. Killed half-way, it leaves records where they are not found any more."""
        self._file.cut(2 * buckets * BUCKET)
        for number in range(buckets):
            stays, moves = split(self._read(number), buckets)
            _write(self._file, moves, (number + buckets) * BUCKET)
            _write(self._file, stays, number * BUCKET)

    def _read(self, number: int) -> bytes:
        return self._file.read(BUCKET, number * BUCKET).ljust(BUCKET, b"\0")

    def _clock(self) -> os.stat_result:
        """Return the file system's time: only its own clock can be compared with its files' times."""
        self._file.touch()
        return self._file.status()

    def _is_settled(self, status: os.stat_result, read_at: float, now: os.stat_result) -> bool:
        """Judge whether a change since the reading began must have changed the file's times."""
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
