"""Decides whether planned files fit on the disk, and which errors affect all further files."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from wbfiles_async._disk.errors import local_failure
from wbfiles_async._text import counted, size_of
from wbfiles_async.errors import LocalWriteError, WBFilesError

_FINAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def is_fatal_for_all(error: WBFilesError) -> bool:
    """Return whether all further files would fail with the same error, such as a full disk."""
    return isinstance(error, LocalWriteError) and error.errno in _FINAL


@attrs.frozen
class SpaceNeeded:
    """The space on the disk that files need once they are complete.

    Attributes:
        bytes: Additional bytes; for a file that replaces another one, the difference if it is longer.
        files: Additional files.
    """

    bytes: int = 0
    files: int = 0

    @classmethod
    def of_file(cls, size: int | None, replaced: os.stat_result | None) -> SpaceNeeded:
        """Return the space that one file needs.

        Args:
            size: Its length in bytes, if known.
            replaced: The status of the file that it replaces, if any.
        """
        return cls(max(0, (size or 0) - (replaced.st_size if replaced else 0)), int(replaced is None))

    def __add__(self, other: SpaceNeeded) -> SpaceNeeded:
        return SpaceNeeded(self.bytes + other.bytes, self.files + other.files)

    def __sub__(self, other: SpaceNeeded) -> SpaceNeeded:
        return SpaceNeeded(self.bytes - other.bytes, self.files - other.files)


@attrs.define(eq=False)
class PlannedSpace:
    """The space that planned files still need."""

    _queued: SpaceNeeded = attrs.field(factory=SpaceNeeded)
    _writing: dict[object, tuple[SpaceNeeded, Callable[[], int]]] = attrs.field(factory=dict)

    @property
    def need(self) -> SpaceNeeded:
        """The space that is still needed, without the bytes that have arrived."""
        writing = (SpaceNeeded(max(0, need.bytes - arrived())) for need, arrived in self._writing.values())
        return sum(writing, self._queued)

    def plan(self, need: SpaceNeeded) -> None:
        """Add a planned file."""
        self._queued += need

    def begin(self, need: SpaceNeeded) -> None:
        """Remove a planned file: it is being checked, and may be kept."""
        self._queued -= need

    @contextmanager
    def writing(self, need: SpaceNeeded, arrived: Callable[[], int]) -> Iterator[None]:
        """Count a file as in progress.

        Args:
            need: The space that it needs in total.
            arrived: Returns the number of its bytes that have arrived.
        """
        key = object()
        self._writing[key] = need, arrived
        try:
            yield
        finally:
            del self._writing[key]


@attrs.frozen
class FreeSpace:
    """The free space of a disk; ``None`` for unknown numbers.

    Attributes:
        bytes: Bytes that this user may write.
        files: Files that may be created.
    """

    bytes: int | None
    files: int | None

    @classmethod
    def on(cls, where: Path) -> FreeSpace:
        """Query the disk of an existing path. Blocks.

        Some file systems state no numbers, or 0 of 0; a disk that is really full fails at the first write.
        """
        try:
            if sys.platform == "win32":
                return cls(shutil.disk_usage(where).free or None, None)
            disk = os.statvfs(where)
        except OSError:
            return cls(None, None)
        states_bytes = disk.f_blocks and disk.f_frsize
        return cls(disk.f_bavail * disk.f_frsize if states_bytes else None, disk.f_favail if disk.f_files else None)

    def shortage(self, need: SpaceNeeded, root: Path) -> LocalWriteError | None:
        """Return the error if the needed space exceeds the free space; ``None`` if it may suffice."""
        if self.bytes is not None and need.bytes > self.bytes:
            what = f"{size_of(need.bytes)} are needed, {size_of(self.bytes)} are free"
        elif self.files is not None and need.files > self.files:
            what = f"room for {counted(need.files, 'new file')} is needed, the disk has room for {self.files:,}"
        else:
            return None
        return local_failure(OSError(errno.ENOSPC, what), root)


def free_space_below(root: Path) -> FreeSpace:
    """Return the free space of the disk of a folder, which need not exist yet. Blocks."""
    above = root
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    return FreeSpace.on(above)
