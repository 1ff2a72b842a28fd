"""Folders and files by paths, with calls that Python has on every system. Blocking.

Used if folders cannot be opened, that is, on Windows. It is weaker than ``posix``:

- a folder that is swapped for a link just when a file is created or published in it is not noticed;
- except on Windows, whose rename refuses an existing target, not replacing a file takes two steps;
- a finished file is closed before it is published, since Windows cannot rename an open file;
- only the content of a file is flushed, not its name.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import sleep
from typing import Final, TypeVar

import attrs

from wbfiles_async._disk.folder import is_link
from wbfiles_async._disk.locks import claim, hold
from wbfiles_async._disk.long_paths import system_path

__all__ = ["PortableFile", "PortableFolder"]

T = TypeVar("T")

RETRY_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0)
"""Waits before each retry if a program has a file open, in seconds: scanners and indexers release it in
milliseconds, rarely in seconds; five in total, since a user's program may keep it for hours."""

PEEK_SECONDS: Final = (0.002, 0.005, 0.01)
"""The same for a temporary file, which another download of the file may be checking; the event loop waits."""

_HELD: Final = {5, 32, 33}
"""Windows' error numbers for access denied (also from renames), sharing violation, and lock violation."""

# Without O_BINARY Windows writes line feeds as two bytes.
_PLAIN: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | _PLAIN
_OLD: Final = os.O_RDWR | _PLAIN
_READ: Final = os.O_RDONLY | _PLAIN
_PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700


@attrs.define(eq=False)
class PortableFile:
    """A file by its path and its descriptor."""

    _folder: PortableFolder
    _name: str
    _file: int
    _destination: PortableFolder
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def status(self) -> os.stat_result:
        """Return its status."""
        return os.fstat(self._file)

    def read(self, count: int, offset: int) -> bytes:
        """Read up to so many bytes."""
        pieces = []
        with self._lock:
            os.lseek(self._file, offset, os.SEEK_SET)
            while count and (piece := os.read(self._file, count)):
                pieces.append(piece)
                count -= len(piece)
        return b"".join(pieces)

    def reader(self) -> io.FileIO:
        """Return what reads it from its beginning."""
        return io.FileIO(self._file, closefd=False)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read into a buffer."""
        with self._lock:
            os.lseek(self._file, offset, os.SEEK_SET)
            read = os.read(self._file, len(buffer))
        buffer[: len(read)] = read
        return len(read)

    def write(self, data: bytes | memoryview, offset: int) -> int:
        """Write."""
        with self._lock:
            os.lseek(self._file, offset, os.SEEK_SET)
            return os.write(self._file, data)

    def cut(self, size: int) -> None:
        """Set its length."""
        os.ftruncate(self._file, size)

    def touch(self) -> None:
        """Set its time of modification to now."""
        os.utime(self._folder.path_of(self._name))

    def leave_holes(self) -> None:
        """Make the file sparse, since Windows would otherwise write zeros into holes."""
        if sys.platform == "win32":
            import ctypes
            import msvcrt

            set_sparse, returned = 0x000900C4, ctypes.c_ulong()
            handle = ctypes.c_void_p(msvcrt.get_osfhandle(self._file))
            ctypes.WinDLL("kernel32").DeviceIoControl(
                handle, set_sparse, None, 0, None, 0, ctypes.byref(returned), None
            )

    def claim(self) -> bool:
        """Return whether no other process holds it, and hold it."""
        with self._lock:
            return claim(self._file)

    def has_its_name(self) -> bool:
        """Return whether its name still refers to it."""
        return os.path.samestat(self._folder.status(self._name), os.fstat(self._file))

    def publish(self, target: str, *, mode: int, replace: bool, durable: bool) -> os.stat_result | None:
        """Give it its final name. Its permissions follow from the folder."""
        if durable:
            os.fsync(self._file)
        self.close()
        for folder in {self._folder, self._destination}:
            folder.check_way()
        temporary, final = self._folder.path_of(self._name), self._destination.path_of(target)
        marked = _marked_as_written(temporary)
        if replace:
            _check_replaceable(final)
            _until_released(lambda: os.replace(temporary, final))
        elif os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        else:
            _until_released(lambda: os.rename(temporary, final))
        self._name = ""
        return _status_if_unchanged(final, marked)

    def remove(self) -> None:
        """Close it, then remove it: Windows removes no open file, nor one that others have claimed meanwhile."""
        self.close()
        if self._name:
            self._folder.check_way()
            path = self._folder.path_of(self._name)
            _until_released(lambda: os.unlink(path), PEEK_SECONDS)

    def close(self) -> None:
        """Close it."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


@attrs.define(eq=False)
class PortableFolder:
    """A folder by its path.

    Args:
        path: Its path, from ``system_path``.
        way: The folders from the root to it, inclusive, which must not be links.
    """

    _path: str
    _way: tuple[str, ...] = ()

    @classmethod
    def at(cls, path: Path) -> PortableFolder:
        """Open a folder, which may be reached through links."""
        text = system_path(path)
        _check_folder(os.stat(text))
        return cls(text)

    def enter(self, name: str, *, create: bool) -> PortableFolder:
        """Open a folder in it."""
        path = self.path_of(name)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            if not create:
                raise
            with suppress(FileExistsError):
                os.mkdir(path)
            found = os.lstat(path)
        _check_folder(found)
        return PortableFolder(path, (*self._way, path))

    def check_way(self) -> None:
        """Check again that no link leads here.

        Raises:
            OSError: One does.
        """
        for path in self._way:
            _check_folder(os.lstat(path))

    def path_of(self, name: str) -> str:
        """Return the path of a name."""
        return os.path.join(self._path, name)

    def status(self, name: str) -> os.stat_result:
        """Return the status of a name."""
        return os.lstat(self.path_of(name))

    def link_target(self, name: str) -> str:
        """Return the target of a link."""
        return os.readlink(self.path_of(name))

    def some_names(self, most: int) -> Sequence[str]:
        """Return names of its entries."""
        with os.scandir(self._path) as entries:
            return [entry.name for entry in islice(entries, most)]

    def make(self, name: str) -> None:
        """Make a folder."""
        self.check_way()
        os.mkdir(self.path_of(name), _PRIVATE_FOLDER)

    def create(self, name: str, destination: PortableFolder | None = None) -> PortableFile:
        """Make a file."""
        self.check_way()
        file = os.open(self.path_of(name), _NEW, _PRIVATE)
        try:
            _hold(file)
        except OSError:
            os.close(file)
            raise
        return PortableFile(self, name, file, destination or self)

    def open(self, name: str) -> PortableFile:
        """Open a file for reading and writing."""
        return self._open(name, _OLD)

    def open_for_reading(self, name: str) -> PortableFile:
        """Open a file for reading."""
        return self._open(name, _READ)

    def _open(self, name: str, flags: int) -> PortableFile:
        self.check_way()
        found = self.status(name)
        if is_link(found):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        file = PortableFile(self, name, os.open(self.path_of(name), flags), self)
        if not os.path.samestat(found, file.status()):  # it was swapped, perhaps for a link
            file.close()
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return file

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.check_way()
        os.unlink(self.path_of(name))

    def remove_folder(self, name: str) -> None:
        """Remove a folder."""
        self.check_way()
        os.rmdir(self.path_of(name))

    def close(self) -> None:
        """Do nothing."""


def _check_folder(found: os.stat_result) -> None:
    if is_link(found):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _check_replaceable(path: str) -> None:
    """Raise at once for a read-only target, which Windows never replaces."""
    with suppress(FileNotFoundError):
        if not os.lstat(path).st_mode & stat.S_IWUSR:
            raise PermissionError(errno.EACCES, "the file there is marked as read-only")


def _is_open_elsewhere(error: OSError) -> bool:
    """Return whether a call was refused because a program, such as a virus scanner, has a file open."""
    return isinstance(error, PermissionError) and getattr(error, "winerror", 0) in _HELD


def _until_released(
    work: Callable[[], T],
    pauses: Sequence[float] = RETRY_SECONDS,
    *,
    is_held: Callable[[OSError], bool] = _is_open_elsewhere,
) -> T:
    """Retry a call that is refused because something else has a file for moments."""
    for seconds in pauses:
        try:
            return work()
        except OSError as error:
            if not is_held(error):
                raise
        sleep(seconds)
    return work()


def _hold(file: int) -> None:
    """Hold a new file, once another download no longer checks whether it is a leftover.

    Nobody else removes the file meanwhile, since it is open; without this it would remain, since both give it up.
    """
    _until_released(lambda: hold(file), is_held=lambda error: isinstance(error, FileExistsError))


def _marked_as_written(path: str) -> tuple[int, int, int, int]:
    """Set a distinct modification time, a microsecond ago, and return what identifies the content.

    Later writes get a time of Windows' clock, which differs.

    Returns:
        Device, inode, length, and time of modification in nanoseconds.
    """
    written = os.lstat(path)
    modified = written.st_mtime_ns - 1000
    with suppress(OSError):  # a file system without such times
        os.utime(path, ns=(written.st_atime_ns, modified))
    return written.st_dev, written.st_ino, written.st_size, modified


def _status_if_unchanged(path: str, marked: tuple[int, int, int, int]) -> os.stat_result | None:
    """Return the status of a published file; ``None`` if it may have been replaced or changed already."""
    with suppress(OSError):  # moved away by now
        found = os.lstat(path)
        if (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) == marked:
            return found
    return None
