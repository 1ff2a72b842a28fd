"""Reads a local file for an upload, and detects changes meanwhile. Blocking; run it through ``Disk``."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Self

import attrs

from wbfiles_async._disk.errors import read_failure
from wbfiles_async._disk.folder import is_link
from wbfiles_async._disk.long_paths import system_path
from wbfiles_async._md5 import new_md5
from wbfiles_async.errors import LocalReadError

__all__ = ["LocalFile", "ReadFile"]

_PIECE = 1 << 20

if sys.platform == "win32":

    def _open(path: Path, *, follow_links: bool) -> int:
        local = system_path(path)
        if not follow_links and is_link(os.lstat(local)):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.open(local, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)

    def _read(file: int, count: int, offset: int) -> bytes:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, count)

else:

    def _open(path: Path, *, follow_links: bool) -> int:
        # Non-blocking, since opening a pipe would wait for its other end; pipes are refused after opening.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(path, flags if follow_links else flags | os.O_NOFOLLOW)

    def _read(file: int, count: int, offset: int) -> bytes:
        return os.pread(file, count, offset)


if sys.platform != "win32" and hasattr(os, "preadv"):

    def _read_into(file: int, buffer: memoryview, offset: int) -> int:
        return os.preadv(file, [buffer], offset)

else:  # Windows, and macOS before 11

    def _read_into(file: int, buffer: memoryview, offset: int) -> int:
        piece = _read(file, len(buffer), offset)
        buffer[: len(piece)] = piece
        return len(piece)


@attrs.frozen
class LocalFile:
    """A local file to read.

    Attributes:
        path: Its path.
        follow_links: Whether it may be a symbolic link.
    """

    path: Path
    follow_links: bool = False

    def open(self) -> ReadFile:
        """Open it.

        Raises:
            LocalReadError: It does not exist, cannot be read, or is not a regular file.
        """
        try:
            descriptor = _open(self.path, follow_links=self.follow_links)
        except OSError as error:
            raise read_failure(error, self.path) from error
        opened = ReadFile(self.path, descriptor, os.fstat(descriptor))
        if not stat.S_ISREG(opened.mode):
            opened.close()
            raise no_regular_file(self.path, opened.mode)
        return opened

    def md5(self, size: int) -> bytes | None:
        """Return the md5 of its content; ``None`` if it has another length.

        Raises:
            LocalReadError: It cannot be read, or changed meanwhile.
        """
        with self.open() as opened:
            if opened.size != size:
                return None
            digest, offset = new_md5(), 0
            while offset < size:
                piece = opened.read(offset, _PIECE)
                digest.update(piece)
                offset += len(piece)
            opened.check_unchanged()
            return digest.digest()


@attrs.define(eq=False)
class ReadFile:
    """A local file that is open for reading and must be closed.

    Attributes:
        path: Its path.
    """

    path: Path
    _descriptor: int
    _status: os.stat_result

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._status.st_size

    @property
    def mode(self) -> int:
        """Its type and permissions, as in ``os.stat_result.st_mode``."""
        return self._status.st_mode

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes from ``offset``, at least one and at most ``count``. For one thread at a time.

        Raises:
            LocalReadError: They cannot be read, or no longer exist.
        """
        try:
            piece = _read(self._descriptor, min(count, self.size - offset), offset)
        except OSError as error:
            raise read_failure(error, self.path) from error
        if not piece:
            raise self._changed("became shorter")
        return piece

    def read_into(self, offset: int, buffer: memoryview) -> memoryview:
        """Read into a buffer, like ``read``, and return the filled part of it."""
        try:
            count = _read_into(self._descriptor, buffer[: self.size - offset], offset)
        except OSError as error:
            raise read_failure(error, self.path) from error
        if not count:
            raise self._changed("became shorter")
        return buffer[:count]

    def check_unchanged(self) -> None:
        """Check that it has not changed since it was opened.

        Raises:
            LocalReadError: It has changed.
        """
        now = os.fstat(self._descriptor)
        if _state_of(now) != _state_of(self._status):
            raise self._changed("changed")

    def _changed(self, what: str) -> LocalReadError:
        return LocalReadError(
            f"{self.path} {what} while it was uploaded; upload it when nothing writes to it any more, or a copy of it.",
            errno=None,
            path=self.path,
        )

    def close(self) -> None:
        """Close it; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def no_regular_file(path: Path, mode: int) -> LocalReadError:
    """Return the error for a path that is not a regular file."""
    kind = next((name for test, name in _KINDS if test(mode)), "something else")
    return LocalReadError(
        f"{path} cannot be uploaded: it is {kind}, not a regular file. Leave it out.", errno=None, path=path
    )


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _state_of(status: os.stat_result) -> tuple[int, ...]:
    # Includes the time of the last status change, which programs cannot set.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
