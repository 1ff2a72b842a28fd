"""The names of the files in a folder, listed again only after a change. Does not know runs or HTTP."""

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
"""Maximum cached listings: one of 100,000 names takes about 10 MB."""


@attrs.frozen
class _Listing:
    names: Sequence[str]
    folders: Sequence[tuple[str, int]]
    """The path of each folder, and its ``st_mtime_ns`` before it was read."""

    def is_current(self) -> bool:
        try:
            return all(os.stat(folder).st_mtime_ns == mtime_ns for folder, mtime_ns in self.folders)
        except FileNotFoundError:
            return False


class Listings:
    """Sorted listings of folders. Thread-safe.

    The modification time of a folder changes with every entry that is created, removed or renamed in it. So all pages
    of a large run need only one listing, and new files still appear immediately.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Path, _Listing] = OrderedDict()
        self._lock = threading.Lock()

    def names(self, folder: Path) -> Sequence[str]:
        """Return the names of all regular files below a folder, with ``/`` between folders, in code point order.

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
