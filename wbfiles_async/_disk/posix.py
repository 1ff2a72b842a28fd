"""Folders and files by descriptors, so that a folder swapped meanwhile cannot lead elsewhere. Blocking."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import attrs

from wbfiles_async._disk.locks import claim, hold

assert sys.platform != "win32"  # noqa: S101  # for the type checkers

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags to open a folder that is not a link; on Linux it need not be readable."""

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PRIVATE = 0o600
_PRIVATE_FOLDER = 0o700

_NO_FLUSH_OF_FOLDERS = {errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP}


@attrs.define(eq=False)
class PosixFile:
    """A file by its descriptor, that of its folder, and that of the folder in which it is published."""

    _folder: int
    _name: str
    _file: int
    _destination: int
    _marked: tuple[int, int, int, int] | None = None

    def status(self) -> os.stat_result:
        """Return its status."""
        return os.fstat(self._file)

    def read(self, count: int, offset: int) -> bytes:
        """Read up to so many bytes."""
        return os.pread(self._file, count, offset)

    def reader(self) -> io.FileIO:
        """Return what reads it from its beginning."""
        return io.FileIO(self._file, closefd=False)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read into a buffer."""
        if sys.platform == "darwin":  # Python has no preadv there
            read = os.pread(self._file, len(buffer), offset)
            buffer[: len(read)] = read
            return len(read)
        return os.preadv(self._file, [buffer], offset)

    def write(self, data: bytes | memoryview, offset: int) -> int:
        """Write."""
        return os.pwrite(self._file, data, offset)

    def cut(self, size: int) -> None:
        """Set its length."""
        os.ftruncate(self._file, size)

    def touch(self) -> None:
        """Set its time of modification to now."""
        os.utime(self._file)

    def leave_holes(self) -> None:
        """Do nothing: files are sparse automatically, or cannot be."""

    def claim(self) -> bool:
        """Return whether no other process has it open or holds it."""
        return claim(self._file)

    def has_its_name(self) -> bool:
        """Return whether its name still refers to it."""
        return os.path.samestat(_status(self._name, self._folder), os.fstat(self._file))

    def publish(self, target: str, *, mode: int, replace: bool, durable: bool) -> os.stat_result | None:
        """Give it its final name."""
        if self._marked is None:
            self._marked = self._prepared(mode, durable=durable)
        if replace:
            os.replace(self._name, target, src_dir_fd=self._folder, dst_dir_fd=self._destination)
        else:
            _rename_new(self._name, self._folder, target, self._destination)
        self._name = ""
        published = _status_if_unchanged(target, self._destination, self._marked)
        if durable:
            _flush_folder(self._destination)
        return published

    def _prepared(self, mode: int, *, durable: bool) -> tuple[int, int, int, int]:
        """Do everything before it gets its name, and return what identifies its content."""
        with suppress(OSError):  # FAT, CIFS, FUSE: the file has the permissions that the file system gives
            os.fchmod(self._file, mode)
        marked = _marked_as_written(self._file)
        if durable:
            _flush(self._file)
        self._check_close()
        return marked

    def _check_close(self) -> None:
        """Close it, or a duplicate descriptor, to learn before publishing whether closing fails."""
        closed, self._file = self._file, -1
        if self._folder == self._destination:  # while it is open no other process treats it as a leftover
            with suppress(OSError):
                self._file = os.dup(closed)
        os.close(closed)

    def remove(self) -> None:
        """Remove it, then close it: while it is open no other process treats it as a leftover."""
        try:
            if self._name:
                os.unlink(self._name, dir_fd=self._folder)
        finally:
            self.close()

    def close(self) -> None:
        """Close it."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


@attrs.define(eq=False)
class PosixFolder:
    """A folder by its descriptor; all names are resolved in it."""

    _folder: int

    @classmethod
    def at(cls, path: Path) -> PosixFolder:
        """Open a folder, which may be reached through links."""
        return cls(os.open(path, _FOLDER & ~os.O_NOFOLLOW))

    def enter(self, name: str, *, create: bool) -> PosixFolder:
        """Open a folder in it."""
        try:
            return PosixFolder(os.open(name, _FOLDER, dir_fd=self._folder))
        except FileNotFoundError:
            if not create:
                raise
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=self._folder)
        return PosixFolder(os.open(name, _FOLDER, dir_fd=self._folder))

    def status(self, name: str) -> os.stat_result:
        """Return the status of a name."""
        return _status(name, self._folder)

    def link_target(self, name: str) -> str:
        """Return the target of a link."""
        return os.readlink(name, dir_fd=self._folder)

    def some_names(self, most: int) -> Sequence[str]:
        """Return names of its entries."""
        readable = os.open(".", _LISTED, dir_fd=self._folder)
        try:
            with os.scandir(readable) as entries:
                return [entry.name for entry in islice(entries, most)]
        finally:
            os.close(readable)

    def make(self, name: str) -> None:
        """Make a folder."""
        os.mkdir(name, _PRIVATE_FOLDER, dir_fd=self._folder)

    def create(self, name: str, destination: PosixFolder | None = None) -> PosixFile:
        """Make a file."""
        file = os.open(name, _NEW, _PRIVATE, dir_fd=self._folder)
        try:
            hold(file)
        except OSError:
            os.close(file)
            raise
        return PosixFile(self._folder, name, file, self._folder if destination is None else destination._folder)

    def open(self, name: str) -> PosixFile:
        """Open a file for reading and writing."""
        return PosixFile(self._folder, name, os.open(name, _OLD, dir_fd=self._folder), self._folder)

    def open_for_reading(self, name: str) -> PosixFile:
        """Open a file for reading."""
        return PosixFile(self._folder, name, os.open(name, _READ, dir_fd=self._folder), self._folder)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=self._folder)

    def remove_folder(self, name: str) -> None:
        """Remove a folder."""
        os.rmdir(name, dir_fd=self._folder)

    def close(self) -> None:
        """Close the folder."""
        folder, self._folder = self._folder, -1
        if folder >= 0:
            os.close(folder)


def _status(name: str, folder: int) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _marked_as_written(file: int) -> tuple[int, int, int, int]:
    """Set a distinct modification time, a microsecond ago, and return what identifies the content.

    The clock of most file systems has a granularity of milliseconds, so a change right after publishing could leave
    all times unchanged. But every change sets the times of modification and of status to the same value, so as long
    as the first is earlier, there was none.

    Returns:
        Device, inode, length, and time of modification in nanoseconds.
    """
    written = os.fstat(file)
    modified = written.st_mtime_ns - 1000
    with suppress(OSError):  # a file system without such times
        os.utime(file, ns=(written.st_atime_ns, modified))
    return written.st_dev, written.st_ino, written.st_size, modified


def _status_if_unchanged(name: str, folder: int, marked: tuple[int, int, int, int]) -> os.stat_result | None:
    """Return the status of a published file; ``None`` if it may have been replaced or changed already."""
    with suppress(OSError):  # moved away by now
        found = _status(name, folder)
        same = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) == marked
        if same and found.st_mtime_ns < found.st_ctime_ns:
            return found
    return None


def _rename_new(name: str, folder: int, target: str, destination: int) -> None:
    """Rename, unless the target exists."""
    try:
        os.link(name, target, src_dir_fd=folder, dst_dir_fd=destination, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        # Without hard links, the check and the rename are two steps.
        with suppress(FileNotFoundError):
            _status(target, destination)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(name, target, src_dir_fd=folder, dst_dir_fd=destination)
    else:
        with suppress(OSError):  # the file is published, even if its first name remains
            os.unlink(name, dir_fd=folder)


def _flush_folder(folder: int) -> None:
    """Flush the names in a folder to the disk, if the file system supports that."""
    try:
        readable = os.open(".", _LISTED, dir_fd=folder)
        try:
            _flush(readable)
        finally:
            os.close(readable)
    except OSError as error:
        if error.errno not in _NO_FLUSH_OF_FOLDERS:
            raise


def _flush(file: int) -> None:
    """Flush a file to the disk. On macOS ``fsync`` only waits until the disk has received it."""
    if sys.platform == "darwin":
        import fcntl

        with suppress(OSError):  # not on every file system
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)
