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
        """Return a reader of a newly opened file, from its beginning. Closing the reader does not close the file."""
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
        """Set its times of access and modification to now, by the clock of the file system."""
        ...

    def leave_holes(self) -> None:
        """Make skipped ranges cost neither time nor space, if the file system supports that."""
        ...

    def claim(self) -> bool:
        """Return whether no other process on this machine has it open or holds it; false if unknown.

        If so, this process holds it afterwards, on systems that cannot detect open files.
        """
        ...

    def has_its_name(self) -> bool:
        """Return whether its name still refers to it.

        Raises:
            OSError: Nothing has its name, or that cannot be determined.
        """
        ...

    def publish(self, target: str, *, mode: int, replace: bool, durable: bool) -> os.stat_result | None:
        """Set its permissions, then give it its final name in one step. This may close it.

        Without hard links, it takes two steps not to replace a file, except on Windows. If the final name exists,
        this may be called again to replace it.

        Args:
            target: Its final name, in the folder that it was created for.
            mode: Its permissions, if the file system has any.
            replace: Whether a file of that name may be replaced.
            durable: Whether to wait until its content, and if possible its name, is on the disk.

        Returns:
            Its status, with a modification time that reveals any later change; ``None`` if a change could go unnoticed.

        Raises:
            FileExistsError: The final name exists, and ``replace`` is false.
            OSError: It cannot be published.
        """
        ...

    def remove(self) -> None:
        """Remove it unless it was published, and close it. A process that claims it in between does not lose it.

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
            create: Whether to create it if it does not exist.

        Raises:
            OSError: It cannot be opened or created; ``errno.ELOOP`` or ``errno.ENOTDIR`` if it is a link.
        """
        ...

    def status(self, name: str) -> os.stat_result:
        """Return the status of a name, without following a link."""
        ...

    def link_target(self, name: str) -> str:
        """Return the target of a link."""
        ...

    def some_names(self, most: int) -> Sequence[str]:
        """Return names of its entries, at most ``most``, in any order."""
        ...

    def make(self, name: str) -> None:
        """Create a folder that only this user can use.

        Raises:
            FileExistsError: The name exists.
        """
        ...

    def create(self, name: str, destination: Self | None = None) -> OpenFile:
        """Create a file that only this user can read, and that no other process can claim while it is open.

        Args:
            name: Its name.
            destination: The folder in which it will be published, which must stay open; this one by default.

        Raises:
            FileExistsError: The name exists.
        """
        ...

    def open(self, name: str) -> OpenFile:
        """Open a file for reading and writing, without waiting even if it is a FIFO.

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
        """Close the folder, whose files must be closed before; harmless when repeated."""
        ...


def is_link(status: os.stat_result) -> bool:
    """Return whether this is the status of a symbolic link, or of a junction of Windows."""
    return stat.S_ISLNK(status.st_mode) or bool(getattr(status, "st_reparse_tag", 0) & _NAME_SURROGATE)


def is_own(status: os.stat_result) -> bool:
    """Return whether a file is regular, has only one name, and can have been written only by this user.

    On Windows the last is unknown: the folder determines who may write its files, and Python cannot read that.
    """
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return False
    if sys.platform == "win32":
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
