"""The interface of the local file system: open folders, and create, open and publish files in them.

``posix`` implements it with descriptors of folders, ``portable`` with paths. Names have the operating system's form.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Sequence
from typing import Final, Protocol, Self

__all__ = ["Folder", "OpenFile", "is_link", "is_own"]

_NAME_SURROGATE: Final = 0x20000000
"""Windows' bit for links and junctions, but not for files in cloud storage."""


class OpenFile(Protocol):
    """An open file in an open folder. Reads and writes have an offset, and may come from several threads."""

    def status(self) -> os.stat_result:
        """Return its status."""
        ...

    def read(self, count: int, offset: int) -> bytes:
        """Read up to this many bytes; fewer only at the end."""
        ...

    def reader(self) -> io.FileIO:
        """Return a reader from its beginning, which does not close it."""
        ...

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read into a buffer, and return the number of bytes; 0 only at the end."""
        ...

    def write(self, data: bytes | memoryview, offset: int) -> int:
        """Write, and return the number of bytes written."""
        ...

    def cut(self, size: int) -> None:
        """Set its length."""
        ...

    def touch(self) -> None:
        """Set its time of modification to now, by the clock of the file system."""
        ...

    def leave_holes(self) -> None:
        """Make skipped ranges cost neither time nor space, if the file system supports that."""
        ...

    def claim(self) -> bool:
        """Return whether no other process on this machine has it open or holds it; false if unknown.

        Afterwards it is held, if the system requires that.
        """
        ...

    def has_its_name(self) -> bool:
        """Return whether its name still refers to it.

        Raises:
            OSError: There is none, or that is unknown.
        """
        ...

    def publish(self, target: str, *, mode: int, replace: bool, durable: bool) -> os.stat_result | None:
        """Give it its final name and permissions, in one step. This may close it.

        Args:
            target: Its final name, in the same folder.
            mode: Its permissions, if the system has any.
            replace: Whether a file of that name may be replaced.
            durable: Whether to wait until it is on the disk.

        Returns:
            Its status, which reveals any later change; ``None`` if a change could go unnoticed.

        Raises:
            FileExistsError: The final name exists, and ``replace`` is false.
            OSError: The disk refuses.
        """
        ...

    def remove(self) -> None:
        """Remove it unless it was published, and close it, so that no other process can claim it in between.

        Raises:
            OSError: It is closed, but still exists.
        """
        ...

    def close(self) -> None:
        """Close it; harmless when repeated."""
        ...


class Folder(Protocol):
    """An open folder; its contents are reached without following links."""

    def enter(self, name: str, *, create: bool) -> Self:
        """Open a folder in it.

        Args:
            name: Its name.
            create: Whether to make it if it does not exist.

        Raises:
            OSError: It cannot be opened; ``errno.ELOOP`` or ``errno.ENOTDIR`` if it is a link.
        """
        ...

    def status(self, name: str) -> os.stat_result:
        """Return the status of a name, without following a link."""
        ...

    def link_target(self, name: str) -> str:
        """Return the target of a link."""
        ...

    def some_names(self, most: int) -> Sequence[str]:
        """Return names of its entries, at most this many."""
        ...

    def create(self, name: str) -> OpenFile:
        """Create a file that only this user can read, and that no other process can claim while it is open.

        Raises:
            FileExistsError: The name exists.
        """
        ...

    def open(self, name: str) -> OpenFile:
        """Open a file for reading and writing, without blocking.

        Raises:
            OSError: It is a link, or cannot be opened.
        """
        ...

    def open_for_reading(self, name: str) -> OpenFile:
        """Open a file only for reading, like ``open``."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, or a link itself."""
        ...

    def remove_folder(self, name: str) -> None:
        """Remove a folder.

        Raises:
            OSError: It is not empty, or not a folder.
        """
        ...

    def close(self) -> None:
        """Close the folder, after its files; harmless when repeated."""
        ...


def is_link(status: os.stat_result) -> bool:
    """Return whether it is a symbolic link, or a junction of Windows."""
    return stat.S_ISLNK(status.st_mode) or bool(getattr(status, "st_reparse_tag", 0) & _NAME_SURROGATE)


def is_own(status: os.stat_result) -> bool:
    """Return whether only this user can have written a file, as far as that can be determined.

    On Windows the folder determines who may write its files, and Python cannot read that.
    """
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return False
    if sys.platform == "win32":
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
