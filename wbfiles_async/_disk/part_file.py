"""Puts files in place on the local disk: a temporary sibling that nobody else writes, then one atomic publish.

Blocking; run it through ``Disk``.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import stat
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from wbfiles_async._disk.errors import failures_of
from wbfiles_async._disk.folder import Folder, OpenFile
from wbfiles_async._disk.journal import HEADER_BYTES, Header, Journal, encode_header, encode_part
from wbfiles_async._disk.names import part_name
from wbfiles_async._disk.paths import TargetPath, check_target, local_name, open_folder, status_of
from wbfiles_async._disk.resume import header_for, open_temporary
from wbfiles_async._disk.space import FreeSpace
from wbfiles_async._ranges import Range
from wbfiles_async.errors import DestinationExistsError

_UNKNOWN_MODE = 0o600  # where the umask cannot be learnt: nobody else can read then

log = logging.getLogger(__name__)


@attrs.define(eq=False)
class PartFile:
    """A file in the making, private until it is published: ``create``, ``write``, ``publish``, always ``discard``.

    Attributes:
        target: Where it goes.
        published: Its status at its place, by which any change made there since can be noticed; ``None`` before
            that, and where a change could not be noticed.
    """

    target: TargetPath
    published: os.stat_result | None = None
    _folder: Folder | None = None
    _name: str = ""
    _open_file: OpenFile | None = None
    _size: int | None = None
    _header: Header | None = None
    _parts: int = 0
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def create(self, *, size: int | None, md5: bytes | None = None) -> Journal | None:
        """Create the temporary sibling, and the folders above it; or take up what is left of an earlier one.

        Args:
            size: Length of the whole file, which must fit on the disk, if known.
            md5: Its md5; without it nothing is taken up.

        Returns:
            What is taken up; ``None`` if nothing is.

        Raises:
            UnsafePathError: A symbolic link is in the way.
            LocalWriteError: The disk refuses, or has less free space than needed.
        """
        with failures_of(self._path):
            folder = self._folder = open_folder(self.target, create=True)
            status_of(self.target, folder)
            journal = self._open(folder, size, md5)
            if size is not None:
                self._size = size
                self._begin_journal(size, journal, md5)
                self._check_space(size, journal)
            return journal

    def create_at_once(self) -> None:
        """Create it for a small file that is published right away, which checks whether anything is in the way.

        Raises:
            UnsafePathError, LocalWriteError: As ``create`` does.
        """
        with failures_of(self._path):
            self._folder = open_folder(self.target, create=True)
            self._open(self._folder, None, None)

    def _open(self, folder: Folder, size: int | None, md5: bytes | None) -> Journal | None:
        opened = open_temporary(self.target.parts[-1], folder, size=size, md5=md5)
        self._open_file, self._name = opened.file, opened.name
        return opened.journal

    @property
    def _file(self) -> OpenFile:
        assert self._open_file is not None  # noqa: S101  # it was created
        return self._open_file

    def _path(self) -> Path:
        return self.target.path

    def _begin_journal(self, size: int, journal: Journal | None, md5: bytes | None) -> None:
        """Write behind the last byte what the file is, or take up what is written there."""
        file = self._file
        try:
            if journal is None:
                file.cut(0)  # where a file cannot be cut, nothing may be written behind its end
                file.leave_holes()
                self._header = header_for(size, md5, None)
                file.write(encode_header(self._header), size)
            else:
                self._header = journal.header
                self._parts = len(journal.parts)
                file.cut(size + HEADER_BYTES)
                file.write(b"".join(map(encode_part, journal.parts)), size + HEADER_BYTES)
        except OSError as error:
            self._end_journal(error)

    def _end_journal(self, error: OSError) -> None:
        log.info("%s: a later download cannot resume from what arrives now (%s)", self._path(), error.strerror)
        self._header, self._parts = None, 0

    def _check_space(self, size: int, journal: Journal | None) -> None:
        there = sum(part.length for part in journal.parts) if journal is not None else 0
        if sys.platform != "win32":
            there = self._file.status().st_blocks * 512
        needed, free = size - there, FreeSpace.on(self.target.path.parent)
        if free.bytes is not None and needed > free.bytes:
            raise OSError(errno.ENOSPC, f"{needed} bytes are needed, {free.bytes} are free")

    def note(self, part: Range, etag: str) -> None:
        """Note in the file that a part of it is written, so that a later process can resume there.

        Where that fails the file is written all the same; safe to call from several threads.

        Args:
            part: The part.
            etag: The strong validator of the object that it is a part of.
        """
        with self._lock:
            if self._header is None or self._size is None:
                return
            try:
                if self._header.etag != etag:
                    self._header = attrs.evolve(self._header, etag=etag)
                    self._file.write(encode_header(self._header), self._size)
                entry = encode_part(part)
                self._file.write(entry, self._size + HEADER_BYTES + self._parts * len(entry))
                self._parts += 1
            except OSError as error:
                self._end_journal(error)

    @property
    def can_be_kept(self) -> bool:
        """Whether a later download could resume from it."""
        return self._parts > 0 and self._name == part_name(self.target.parts[-1])

    def write(self, offset: int, pieces: Sequence[bytes | memoryview]) -> None:
        """Write pieces one after the other from ``offset`` on.

        Raises:
            LocalWriteError: The disk refuses.
        """
        file = self._file
        with failures_of(self._path):
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    written = file.write(rest, offset)
                    offset += written
                    rest = rest[written:]

    def digest(self, digest: hashlib._Hash, start: int, buffer: memoryview) -> None:
        """Feed what was written from ``start`` on, as much as fits into the buffer, to a digest."""
        with failures_of(self._path):
            filled = 0
            while filled < len(buffer):
                count = self._file.read_into(buffer[filled:], start + filled)
                if not count:
                    raise OSError(errno.EIO, "the file being written lost bytes")
                filled += count
            digest.update(buffer)

    def publish(self, *, mode: int, replace: bool, durable: bool) -> None:
        """Give the file its name and its usual permissions, in one step.

        Args:
            mode: The permissions, from ``default_mode``.
            replace: Whether a file of that name may be replaced.
            durable: Whether to wait until the disk holds both content and name.

        Raises:
            DestinationExistsError: A file of that name has appeared, and ``replace`` is false.
            LocalWriteError: The disk refuses. The target is as it was, but where only the flushing of its name failed.
        """
        assert self._folder is not None  # noqa: S101  # it was created
        with failures_of(self._path):
            self._cut()
            status_of(self.target, self._folder)
            try:
                self.published = self._file.publish(self.target.name, mode=mode, replace=replace, durable=durable)
            except FileExistsError:
                if replace:
                    raise
                raise already_exists(self.target.path) from None
            self._name = ""

    def _cut(self) -> None:
        """Remove what is noted behind the last byte."""
        if self._size is not None:
            try:
                self._file.cut(self._size)
            except OSError:
                if self._file.status().st_size != self._size:
                    raise

    def keep(self) -> Path:
        """Leave what has arrived for a later download, and return its path; ``discard`` does not remove it then."""
        name, self._name = self._name, ""
        return self.target.path.with_name(local_name(name))

    def discard(self) -> None:
        """Remove what is left; harmless when repeated. Quick enough for the loop's thread."""
        file, self._open_file = self._open_file, None
        folder, self._folder = self._folder, None
        # Once it is published, nothing that fails here matters to the caller.
        if file is not None:
            with suppress(OSError):
                if self._name:
                    self._name = ""
                    file.remove()
                else:
                    file.close()
        if folder is not None:
            with suppress(OSError):
                folder.close()


def write_whole(
    target: TargetPath, pieces: Sequence[bytes | memoryview], *, mode: int, replace: bool, durable: bool
) -> os.stat_result | None:
    """Write a small file and publish it, in one go.

    Returns:
        As ``PartFile.published``.

    Raises:
        UnsafePathError, LocalWriteError, DestinationExistsError: As ``PartFile`` does.
    """
    temporary = PartFile(target)
    try:
        temporary.create_at_once()
        temporary.write(0, pieces)
        temporary.publish(mode=mode, replace=replace, durable=durable)
    finally:
        temporary.discard()
    return temporary.published


def check_new_file(target: TargetPath, *, replace: bool) -> int:
    """Check that a file can be written to a path, before any byte of it is requested.

    Returns:
        The permissions of the new file.

    Raises:
        DestinationExistsError: A file is there, and ``replace`` is false.
        UnsafePathError, LocalWriteError: As ``check_target`` does.
    """
    if check_target(target, replace=replace) and not replace:
        raise already_exists(target.path)
    return default_mode()


def already_exists(path: Path) -> DestinationExistsError:
    """Say that a file is in the way."""
    return DestinationExistsError(
        f"{path} already exists. Pass replace=True to overwrite it, or exist_ok=True to leave it as it is.",
        path=path,
    )


def default_mode() -> int:
    """Return the permissions that a new file gets by the process's umask.

    ``os.umask`` can only be read by setting it, for all threads, so Linux's status file is read instead, and
    elsewhere a file is made to look at. Windows has no such permissions.
    """
    if sys.platform == "win32":
        return _UNKNOWN_MODE
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"Umask:"):
                    return 0o666 & ~int(line.split()[1], 8)
    except OSError:
        pass
    try:
        # Not by `tempfile.TemporaryDirectory`, which may try for ever to remove what it has lost the right to.
        path = os.path.join(tempfile.gettempdir(), f".wbfiles-{secrets.token_hex(8)}")
        probe = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            return stat.S_IMODE(os.fstat(probe).st_mode)
        finally:
            os.close(probe)
            os.unlink(path)  # noqa: PTH108
    except OSError:
        return _UNKNOWN_MODE
