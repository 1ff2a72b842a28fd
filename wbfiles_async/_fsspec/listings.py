"""A cache of recent listings. Performs no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from wbfiles_async._fsspec.places import Info
from wbfiles_async._models import FileAttributes, RunPath

__all__ = ["Listings", "Tree"]

SOON: Final = 30.0
"""Lifetime in seconds of a listing that may change at any time: of a running run, or of a project's runs."""

LATE: Final = 600.0
"""Lifetime in seconds of the listing of a finished run, whose files rarely change."""

ENDED: Final = frozenset({"finished", "failed", "crashed", "killed"})
"""States in which a run logs no more files."""

MOST_FILES: Final = 200_000
"""Maximum files in the cache, each about 1.5 kB with its signed URL."""


class Tree:
    """Files of one run, and the folders in their names.

    Args:
        files: The files.
    """

    def __init__(self, files: Iterable[FileAttributes]) -> None:
        self.files = {file.name: file for file in files}
        self._folders: dict[str, dict[str, None]] | None = None

    @property
    def folders(self) -> dict[str, dict[str, None]]:
        """The names in each folder. Folders have no slash at the end; the run's own name is empty."""
        if self._folders is None:
            self._folders = {"": {}}
            for name in self.files:
                while name not in (folder := self._folders.setdefault(name.rpartition("/")[0], {})):
                    folder[name] = None
                    name = name.rpartition("/")[0]  # the folder itself, in the one above it
                    if not name:
                        break
        return self._folders

    def below(self, folder: str) -> Iterator[FileAttributes]:
        """Iterate over the files below a folder."""
        prefix = folder and f"{folder}/"
        return (file for name, file in self.files.items() if name.startswith(prefix))


@attrs.define
class _Entry:
    tree: Tree
    expires: float


@attrs.define
class Listings:
    """Caches listings.

    Args:
        seconds: The lifetime; ``None`` for `SOON`, and `LATE` for finished runs; 0 for no caching.
        now: Returns the time, in monotonic seconds.
    """

    _seconds: float | None = None
    _now: Callable[[], float] = attrs.field(default=time.monotonic, alias="now")
    _runs: dict[RunPath, dict[str, _Entry]] = attrs.field(factory=dict, init=False)
    _folders: dict[str, tuple[float, list[Info]]] = attrs.field(factory=dict, init=False)
    _states: dict[RunPath, str] = attrs.field(factory=dict, init=False)

    def tree(self, run: RunPath, folder: str = "") -> Tree | None:
        """Return a current listing that contains all files of a run below a folder; ``None`` if there is none."""
        entries = self._runs.get(run, {})
        while True:
            entry = entries.get(folder)
            if entry is not None and entry.expires > self._now():
                return entry.tree
            if not folder:
                return None
            folder = folder.rpartition("/")[0]

    def keep_tree(self, run: RunPath, folder: str, tree: Tree) -> None:
        """Store all files of a run below a folder."""
        seconds = self._seconds
        if seconds is None:
            seconds = LATE if self.has_ended(run) else SOON
        if seconds <= 0:
            return
        self._runs.setdefault(run, {})[folder] = _Entry(tree, self._now() + seconds)
        while self._count() > MOST_FILES and len(self._runs) > 1:
            self._runs.pop(next(iter(self._runs)), None)  # the oldest

    def folder(self, path: str) -> list[Info] | None:
        """Return the contents of an entity or a project; ``None`` if unknown."""
        expires, infos = self._folders.get(path, (0.0, []))
        return infos if expires > self._now() else None

    def keep_folder(self, path: str, infos: list[Info]) -> None:
        """Store the contents of an entity or a project."""
        seconds = SOON if self._seconds is None else self._seconds
        if seconds > 0:
            self._folders[path] = (self._now() + seconds, infos)

    def keep_state(self, run: RunPath, state: str | None) -> None:
        """Store the state of a run."""
        self._states[run] = state or ""

    def has_ended(self, run: RunPath) -> bool:
        """Return whether the run had ended when its project was listed."""
        return self._states.get(run) in ENDED

    def forget(self, run: RunPath | None = None) -> None:
        """Remove the listings of a run and all listings above runs; everything if ``run`` is ``None``."""
        self._folders.clear()
        if run is None:
            self._runs.clear()
            self._states.clear()
        else:
            self._runs.pop(run, None)
            self._states.pop(run, None)  # its files are changing, even if it has ended

    def _count(self) -> int:
        return sum(len(entry.tree.files) for entries in list(self._runs.values()) for entry in list(entries.values()))
