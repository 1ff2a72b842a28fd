"""What the local file system must be able to do: open folders, and make, open and publish files in them.

``posix`` does it by descriptors of folders, ``portable`` by paths. Names are passed as the operating system takes them.
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
"""Windows' bit for what stands for something elsewhere: links and junctions, but not files that a cloud keeps."""


class OpenFile(Protocol):
    """An open file in an open folder. Reads and writes name their place, and may come from several threads."""

    def status(self) -> os.stat_result:
        """Return its status."""
        ...

    def read(self, count: int, offset: int) -> bytes:
        """Read up to so many bytes; fewer only at the end."""
        ...

    def reader(self) -> io.FileIO:
        """Return what reads it from its beginning, and does not close it."""
        ...

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read into a buffer, and return how many bytes that were; 0 only at the end."""
        ...

    def write(self, data: bytes | memoryview, offset: int) -> int:
        """Write, and return how many bytes were written."""
        ...

    def cut(self, size: int) -> None:
        """Make it so many bytes long."""
        ...

    def touch(self) -> None:
        """Set its time of modification to now, by the clock of the file system."""
        ...

    def leave_holes(self) -> None:
        """Have what is skipped cost neither time nor space, if the file system can."""
        ...

    def claim(self) -> bool:
        """Return whether nobody else on this machine has it open, or holds it. If that cannot be known, somebody does.

        Afterwards it is held, where the system needs that.
        """
        ...

    def has_its_name(self) -> bool:
        """Return whether it is still the file of its name.

        Raises:
            OSError: There is none, or it is not to be known.
        """
        ...

    def publish(self, target: str, *, mode: int, replace: bool, durable: bool) -> os.stat_result | None:
        """Give it its last name and its permissions, in one step. It may be closed by that.

        Args:
            target: Its last name, in the same folder.
            mode: Its permissions, where the system has such.
            replace: Whether a file of that name may be replaced.
            durable: Whether to wait until the disk holds it.

        Returns:
            Its status, by which any later change can be noticed; ``None`` where one could not be.

        Raises:
            FileExistsError: Something has the last name, and ``replace`` is false.
            OSError: The disk refuses.
        """
        ...

    def remove(self) -> None:
        """Remove it unless it was published, and close it, so that nobody can take it up in between.

        Raises:
            OSError: It is closed, and still there.
        """
        ...

    def close(self) -> None:
        """Close it; harmless when repeated."""
        ...


class Folder(Protocol):
    """An open folder; what is below it is reached without following links."""

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
        """Return the status of what has the name, be it a link."""
        ...

    def link_target(self, name: str) -> str:
        """Return where a link leads."""
        ...

    def some_names(self, most: int) -> Sequence[str]:
        """Return names of what is in it, at most so many."""
        ...

    def create(self, name: str) -> OpenFile:
        """Make a file that only this user can read, and that nobody else can claim while it is open.

        Raises:
            FileExistsError: Something has the name.
        """
        ...

    def open(self, name: str) -> OpenFile:
        """Open a file for reading and writing, without waiting for anybody.

        Raises:
            OSError: It is a link, or cannot be opened.
        """
        ...

    def open_for_reading(self, name: str) -> OpenFile:
        """Open a file for reading alone, as ``open`` does."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, or a link itself."""
        ...

    def remove_folder(self, name: str) -> None:
        """Remove a folder.

        Raises:
            OSError: It is not empty, or is no folder.
        """
        ...

    def close(self) -> None:
        """Close the folder, after its files; harmless when repeated."""
        ...


def is_link(status: os.stat_result) -> bool:
    """Return whether something stands for another place: a symbolic link, or a junction of Windows."""
    return stat.S_ISLNK(status.st_mode) or bool(getattr(status, "st_reparse_tag", 0) & _NAME_SURROGATE)


def is_own(status: os.stat_result) -> bool:
    """Return whether a file is one that nobody but this user can have written, as far as that is to be known.

    On Windows the folder decides who may write what is in it, and says so only to programs of its own.
    """
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return False
    if sys.platform == "win32":
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
