"""Folders that mirror runs: their marks, their files, and the removal of files. Blocking.

A mark in a folder names its run. A folder is marked only if all its files belong to the run, so that foreign files
never count as ours. Links are neither followed nor removed.
"""

from __future__ import annotations

import errno
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from wbfiles_async._disk.folder import Folder, is_link
from wbfiles_async._disk.names import MARK_NAME, STAGING_NAME, collision_key, is_ours, local_parts, temporary_name
from wbfiles_async._disk.paths import TargetPath, local_name, open_folder
from wbfiles_async.errors import UnsafePathError

__all__ = ["LocalFile", "RunFolder", "local_key", "marked_below"]

_LONGEST_MARK: Final = 4096
_MARK_MODE: Final = 0o644


@attrs.frozen
class LocalFile:
    """A regular file in a run's folder.

    Attributes:
        name: Its name below the folder, with ``/`` between folders, as the system spells it.
        size: Its length in bytes.
    """

    name: str
    size: int


@attrs.frozen
class RunFolder:
    """The folder of one run's files.

    Attributes:
        root: The folder the caller named.
        parts: The folders below it; the last one is the run's own.
        run: The run, ``entity/project/run_id``.
    """

    root: Path
    parts: tuple[str, ...]
    run: str

    def is_known(self) -> bool:
        """Return whether the folder is marked for this run."""
        try:
            with self._opened(()) as folder:
                return _mark_in(folder) == self.run
        except FileNotFoundError:
            return False

    def mark(self, is_of_run: Callable[[str], bool]) -> bool:
        """Mark the folder if all its files belong to the run; return whether it is marked for this run now.

        Args:
            is_of_run: Returns whether a name below the folder is a file of the run.

        Raises:
            OSError: It cannot be read or written.
            UnsafePathError: It is, or lies below, a link.
        """
        try:
            with self._opened(()) as folder:
                mark = _mark_in(folder)
                if mark is not None:
                    return mark == self.run
                if any(not regular or not is_of_run(file.name) for file, regular in _walk(folder)):
                    return False
                _write_mark(folder, self.run)
                return True
        except FileNotFoundError:
            return False

    def files(self) -> list[LocalFile]:
        """List the regular files in the folder, except the downloads' own.

        Raises:
            OSError: It cannot be read.
            UnsafePathError: It is, or lies below, a link.
        """
        try:
            with self._opened(()) as folder:
                return [file for file, regular in _walk(folder) if regular]
        except FileNotFoundError:
            return []

    def remove(self, name: str) -> bool:
        """Remove a regular file and emptied folders; return whether it existed.

        Raises:
            OSError: It cannot be removed.
            UnsafePathError: A folder on the way has become a link.
        """
        *above, last = name.split("/")
        try:
            with self._opened(tuple(above)) as folder:
                if not stat.S_ISREG(folder.status(last).st_mode):
                    return False
                folder.remove(last)
        except FileNotFoundError:
            return False
        while above:
            *above, last = above
            with suppress(OSError), self._opened(tuple(above)) as folder:
                folder.remove_folder(last)
        return True

    def drop(self) -> None:
        """Remove the mark and the folder, if nothing else is in it."""
        with suppress(OSError):
            with self._opened(()) as folder:
                if list(folder.some_names(2)) != [MARK_NAME]:
                    return
                folder.remove(MARK_NAME)
            *above, last = self.parts
            with closing(open_folder(TargetPath(self.root, (*above, MARK_NAME)), create=False)) as around:
                around.remove_folder(local_name(last))

    @contextmanager
    def _opened(self, inside: tuple[str, ...]) -> Iterator[Folder]:
        """Open the folder, or one in it, without following links. Names inside have the system's form."""
        folder = open_folder(TargetPath(self.root, (*self.parts, MARK_NAME)), create=False)
        try:
            for name in inside:
                inner = folder.enter(name, create=False)
                folder.close()
                folder = inner
            yield folder
        finally:
            folder.close()


def marked_below(root: Path, above: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the marked folders in a folder, each with its run.

    Args:
        root: The folder the caller named.
        above: Their parent folders below it.
    """
    found = list[tuple[str, str]]()
    with (
        suppress(FileNotFoundError),
        closing(open_folder(TargetPath(root, (*above, MARK_NAME)), create=False)) as around,
    ):
        for name in sorted(around.some_names(sys.maxsize)):
            with suppress(OSError), closing(around.enter(name, create=False)) as folder:
                run = _mark_in(folder)
                if run is not None:
                    found.append((name, run))
    return found


def local_key(name: str) -> str | None:
    """Return a key that a remote name shares with its local file on every file system; ``None`` if unsafe."""
    try:
        return collision_key("/".join(map(local_name, local_parts(name))))
    except UnsafePathError:
        return None


def _walk(folder: Folder, above: str = "") -> Iterator[tuple[LocalFile, bool]]:
    """Yield all entries but folders and the downloads' own files, and whether each is a regular file."""
    for name in folder.some_names(sys.maxsize):
        if name == STAGING_NAME:
            continue
        found = folder.status(name)
        if stat.S_ISDIR(found.st_mode) and not is_link(found):
            with closing(folder.enter(name, create=False)) as inner:
                yield from _walk(inner, f"{above}{name}/")
        elif not is_ours(name):
            yield LocalFile(above + name, found.st_size), stat.S_ISREG(found.st_mode) and not is_link(found)


def _mark_in(folder: Folder) -> str | None:
    try:
        mark = folder.open_for_reading(MARK_NAME)
    except FileNotFoundError:
        return None
    with closing(mark):
        if not stat.S_ISREG(mark.status().st_mode):
            raise OSError(errno.EINVAL, "the mark of the folder is not a regular file")
        return mark.read(_LONGEST_MARK, 0).decode(errors="replace")


def _write_mark(folder: Folder, run: str) -> None:
    mark = folder.create(temporary_name(MARK_NAME, secrets.token_hex(8)))
    try:
        mark.write(run.encode(), 0)
        mark.publish(MARK_NAME, mode=_MARK_MODE, replace=False, durable=False)
    finally:
        mark.remove()
