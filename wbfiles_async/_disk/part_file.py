"""Writes files to the local disk: an exclusive temporary sibling, then one atomic publish.

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
from functools import partial
from pathlib import Path

import attrs

from wbfiles_async._disk.errors import failures_of
from wbfiles_async._disk.folder import Folder, OpenFile
from wbfiles_async._disk.journal import HEADER_BYTES, Header, Journal, encode_header, encode_part
from wbfiles_async._disk.names import part_name
from wbfiles_async._disk.paths import TargetPath, check_target, local_name, open_folder, status_of
from wbfiles_async._disk.resume import Opened, header_for, open_temporary
from wbfiles_async._disk.space import FreeSpace
from wbfiles_async._disk.staging import Stage
from wbfiles_async._ranges import Range
from wbfiles_async.errors import DestinationExistsError

_UNKNOWN_MODE = 0o600  # if the umask is unknown: private

log = logging.getLogger(__name__)


@attrs.define(eq=False)
class PartFile:
    """An unfinished file, private until it is published: ``create``, ``write``, ``publish``, always ``discard``.

    Attributes:
        target: The target path.
        published: Its status once published, which reveals any later change; ``None`` before, and if a change could
            go unnoticed.
    """

    target: TargetPath
    published: os.stat_result | None = None
    _folder: Folder | None = None
    _name: str = ""
    _open_file: OpenFile | None = None
    _is_staged: bool = False
    _size: int | None = None
    _header: Header | None = None
    _parts: int = 0
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def create(self, *, size: int | None, md5: bytes | None = None) -> Journal | None:
        """Create the temporary sibling and its folders, or resume an earlier one.

        Args:
            size: Length of the whole file, which must fit on the disk, if known.
            md5: Its md5; without it nothing is resumed.

        Returns:
            The resumed journal; ``None`` if there is none.

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

    def create_at_once(self, stage: Stage | None = None) -> None:
        """Create it for a small file that is published immediately, which detects existing files.

        Args:
            stage: Creates it elsewhere.

        Raises:
            UnsafePathError, LocalWriteError: As ``create`` does.
        """
        with failures_of(self._path):
            folder = self._folder = open_folder(self.target, create=True)
            if stage is None:
                self._open(folder, None, None)
            else:
                self._use(stage.create(self.target.parts[-1], folder))
                self._is_staged = True

    def _open(self, folder: Folder, size: int | None, md5: bytes | None) -> Journal | None:
        return self._use(open_temporary(self.target.parts[-1], folder, size=size, md5=md5))

    def _use(self, opened: Opened) -> Journal | None:
        self._open_file, self._name = opened.file, opened.name
        return opened.journal

    @property
    def _file(self) -> OpenFile:
        assert self._open_file is not None  # noqa: S101  # it was created
        return self._open_file

    def _path(self) -> Path:
        return self.target.path

    def _begin_journal(self, size: int, journal: Journal | None, md5: bytes | None) -> None:
        """Write the journal after the last byte, or read an existing one."""
        file = self._file
        try:
            if journal is None:
                file.cut(0)  # if a file cannot be truncated, nothing may be written after its end
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
        """Record in the file that a part is written, so that a later process can resume there.

        A failure is ignored; safe to call from several threads.

        Args:
            part: The part.
            etag: The strong validator of its object.
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
        """Write consecutive pieces from ``offset`` on.

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
        """Feed written bytes from ``start`` on, as many as fit into the buffer, to a digest."""
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
            durable: Whether to wait until content and name are on the disk.

        Raises:
            DestinationExistsError: A file of that name has appeared, and ``replace`` is false.
            LocalWriteError: The disk refuses. The target is unchanged, unless only the flushing of its name failed.
        """
        assert self._folder is not None  # noqa: S101  # it was created
        publish = partial(self._file.publish, self.target.name, mode=mode, durable=durable)
        with failures_of(self._path):
            self._cut()
            if replace and not self._is_staged:
                status_of(self.target, self._folder)
                self.published = publish(replace=True)
            else:
                try:
                    self.published = publish(replace=False)
                except FileExistsError:
                    status_of(self.target, self._folder)
                    if not replace:
                        raise already_exists(self.target.path) from None
                    self.published = publish(replace=True)
            self._name = ""

    def _cut(self) -> None:
        """Remove the journal after the last byte."""
        if self._size is not None:
            try:
                self._file.cut(self._size)
            except OSError:
                if self._file.status().st_size != self._size:
                    raise

    def keep(self) -> Path:
        """Keep the part file for a later download, and return its path; ``discard`` then keeps it."""
        name, self._name = self._name, ""
        return self.target.path.with_name(local_name(name))

    def discard(self) -> None:
        """Remove the temporary file; idempotent. Fast enough for the event loop's thread."""
        file, self._open_file = self._open_file, None
        folder, self._folder = self._folder, None
        # After publishing, failures here do not matter to the caller.
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
    target: TargetPath,
    pieces: Sequence[bytes | memoryview],
    *,
    mode: int,
    replace: bool,
    durable: bool,
    stage: Stage | None = None,
) -> os.stat_result | None:
    """Write and publish a small file.

    Args:
        target: Its path.
        pieces: Its content.
        mode: Its permissions.
        replace: Whether a file of that name may be replaced.
        durable: Whether to wait until content and name are on the disk.
        stage: Creates its temporary file; by default it is a sibling.

    Returns:
        As ``PartFile.published``.

    Raises:
        UnsafePathError, LocalWriteError, DestinationExistsError: As ``PartFile`` does.
    """
    temporary = PartFile(target)
    try:
        temporary.create_at_once(stage)
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
    """Return the error for an existing file."""
    return DestinationExistsError(
        f"{path} already exists. Pass replace=True to overwrite it, or exist_ok=True to leave it as it is.",
        path=path,
    )


def default_mode() -> int:
    """Return the permissions of a new file with the process's umask.

    ``os.umask`` can only be read by setting it, for all threads, so Linux's status file is read instead, and on
    other systems a probe file is created. Windows has no such permissions.
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
        # Not `tempfile.TemporaryDirectory`, which may retry forever to remove a folder without permission.
        path = os.path.join(tempfile.gettempdir(), f".wbfiles-{secrets.token_hex(8)}")
        probe = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            return stat.S_IMODE(os.fstat(probe).st_mode)
        finally:
            os.close(probe)
            os.unlink(path)  # noqa: PTH108
    except OSError:
        return _UNKNOWN_MODE
