"""The names of a folder's files, walked again only after a change. Knows nothing of runs and of HTTP."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import attrs

from wbfiles_async.testing._freshness import is_settled
from wbfiles_async.testing._names import is_file_name

_REMEMBERED = 32
"""Folders whose listings are kept: a listing of 100,000 names takes about 10 MB."""


@attrs.frozen
class _Listing:
    names: Sequence[str]
    folders: Sequence[tuple[str, int]]
    """Each folder's path and its ``st_mtime_ns`` from before it was read."""

    def is_current(self) -> bool:
        try:
            return all(os.stat(folder).st_mtime_ns == mtime_ns for folder, mtime_ns in self.folders)
        except FileNotFoundError:
            return False


class Listings:
    """Sorted listings of folders; safe for threads.

    A folder's time stamp tells of every entry made, removed or renamed in it, so paging through a large run
    walks it once, and a file that was just added is seen all the same.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Path, _Listing] = OrderedDict()
        self._lock = threading.Lock()

    def names(self, folder: Path) -> Sequence[str]:
        """Return the names of all regular files below a folder, ``/`` between folders, in code point order.

        Symbolic links are neither followed nor listed. A folder that does not exist has no files.
        """
        with self._lock:
            known = self._known.get(folder)
        if known is not None and known.is_current():
            return known.names
        listing = _walk(folder)
        with self._lock:
            self._known.pop(folder, None)
            if all(is_settled(mtime_ns) for _, mtime_ns in listing.folders):
                self._known[folder] = listing
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return listing.names


def _walk(folder: Path) -> _Listing:
    names: list[str] = []
    folders: list[tuple[str, int]] = []
    waiting = [(str(folder), "")]
    while waiting:
        path, prefix = waiting.pop()
        try:
            mtime_ns = os.stat(path).st_mtime_ns
            with os.scandir(path) as entries:
                for entry in entries:
                    if not is_file_name(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, f"{prefix}{entry.name}/"))
                    elif entry.is_file(follow_symlinks=False):
                        names.append(prefix + entry.name)
        except FileNotFoundError:
            continue
        folders.append((path, mtime_ns))
    return _Listing(sorted(names), folders)
