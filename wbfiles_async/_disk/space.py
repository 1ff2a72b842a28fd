"""Judges whether what is planned fits on the disk, and which failures of the disk end all further work."""

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
from wbfiles_async.errors import ConfigurationError, LocalWriteError, WBFilesError

_FINAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def is_fatal_for_all(error: WBFilesError) -> bool:
    """Return whether every further file would fail with the error as well: a full disk, a closed client."""
    return isinstance(error, ConfigurationError) or (isinstance(error, LocalWriteError) and error.errno in _FINAL)


@attrs.frozen
class SpaceNeeded:
    """The space that is needed on the disk, in the end.

    Attributes:
        bytes: Bytes more than there are now: of a file that replaces another one, what it is longer.
        files: Files more than there are now.
    """

    bytes: int = 0
    files: int = 0

    @classmethod
    def of_file(cls, size: int | None, replaced: os.stat_result | None) -> SpaceNeeded:
        """Return what one file needs.

        Args:
            size: Its length in bytes, if known.
            replaced: The status of the file that it replaces, where there is one.
        """
        return cls(max(0, (size or 0) - (replaced.st_size if replaced else 0)), int(replaced is None))

    def __add__(self, other: SpaceNeeded) -> SpaceNeeded:
        return SpaceNeeded(self.bytes + other.bytes, self.files + other.files)

    def __sub__(self, other: SpaceNeeded) -> SpaceNeeded:
        return SpaceNeeded(self.bytes - other.bytes, self.files - other.files)


@attrs.define(eq=False)
class PlannedSpace:
    """The space of what is planned and not yet written."""

    _queued: SpaceNeeded = attrs.field(factory=SpaceNeeded)
    _writing: dict[object, tuple[SpaceNeeded, Callable[[], int]]] = attrs.field(factory=dict)

    @property
    def need(self) -> SpaceNeeded:
        """What it needs beyond what has been written so far."""
        writing = (SpaceNeeded(max(0, need.bytes - arrived())) for need, arrived in self._writing.values())
        return sum(writing, self._queued)

    def plan(self, need: SpaceNeeded) -> None:
        """Count a file in."""
        self._queued += need

    def begin(self, need: SpaceNeeded) -> None:
        """Count a planned file out: it is being looked at, and may stay as it is."""
        self._queued -= need

    @contextmanager
    def writing(self, need: SpaceNeeded, arrived: Callable[[], int]) -> Iterator[None]:
        """Count a file as in progress.

        Args:
            need: What it needs in all.
            arrived: Returns how many of its bytes have arrived.
        """
        key = object()
        self._writing[key] = need, arrived
        try:
            yield
        finally:
            del self._writing[key]


@attrs.frozen
class FreeSpace:
    """The space that is left on a disk; ``None`` if it does not state it.

    Attributes:
        bytes: Bytes that this user may write.
        files: Files that may be made.
    """

    bytes: int | None
    files: int | None

    @classmethod
    def on(cls, where: Path) -> FreeSpace:
        """Query the disk of an existing path. Blocks.

        Some file systems state no numbers, or 0 of 0; a disk that is really full refuses the first write.
        """
        try:
            if sys.platform == "win32":
                return cls(shutil.disk_usage(where).free or None, None)
            disk = os.statvfs(where)
        except OSError:
            return cls(None, None)
        says_bytes = disk.f_blocks and disk.f_frsize
        return cls(disk.f_bavail * disk.f_frsize if says_bytes else None, disk.f_favail if disk.f_files else None)

    def shortage(self, need: SpaceNeeded, root: Path) -> LocalWriteError | None:
        """Return the error of what does not fit below the root; ``None`` if all of it may."""
        if self.bytes is not None and need.bytes > self.bytes:
            what = f"{size_of(need.bytes)} are needed, {size_of(self.bytes)} are free"
        elif self.files is not None and need.files > self.files:
            what = f"room for {counted(need.files, 'new file')} is needed, the disk has room for {self.files:,}"
        else:
            return None
        return local_failure(OSError(errno.ENOSPC, what), root)


def free_space_below(root: Path) -> FreeSpace:
    """Return how much the disk of a folder still takes; the folder need not exist yet. Blocks."""
    above = root
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    return FreeSpace.on(above)
