"""What was listed shortly before, so that it need not be listed again. Performs no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from wbfiles_async._fsspec.places import Info
from wbfiles_async._models import FileAttributes, RunPath

__all__ = ["Listings", "Tree"]

SOON: Final = 30.0
"""Seconds that a listing is trusted that may change at any moment: of a running run, of the runs of a project."""

LATE: Final = 600.0
"""Seconds that a listing of a run is trusted that has ended, whose files hardly ever change."""

ENDED: Final = frozenset({"finished", "failed", "crashed", "killed"})
"""States in which a run logs no more files."""

MOST_FILES: Final = 200_000
"""Files that are remembered in all, each some 1.5 kB with its signed URL."""


class Tree:
    """Files of one run, and the folders that their names make.

    Args:
        files: The files.
    """

    def __init__(self, files: Iterable[FileAttributes]) -> None:
        self.files = {file.name: file for file in files}
        self._folders: dict[str, dict[str, None]] | None = None

    @property
    def folders(self) -> dict[str, dict[str, None]]:
        """The names in each folder, which is named without a slash at its end; the run's own is empty."""
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
    """Remembers listings for a while.

    Args:
        seconds: How long; ``None`` for `SOON`, and `LATE` where a run has ended; 0 for not at all.
        now: Returns the time, in monotonic seconds.
    """

    _seconds: float | None = None
    _now: Callable[[], float] = attrs.field(default=time.monotonic, alias="now")
    _runs: dict[RunPath, dict[str, _Entry]] = attrs.field(factory=dict, init=False)
    _folders: dict[str, tuple[float, list[Info]]] = attrs.field(factory=dict, init=False)
    _states: dict[RunPath, str] = attrs.field(factory=dict, init=False)

    def tree(self, run: RunPath, folder: str = "") -> Tree | None:
        """Return a listing that has all files of a run below a folder; ``None`` if there is none."""
        entries = self._runs.get(run, {})
        while True:
            entry = entries.get(folder)
            if entry is not None and entry.expires > self._now():
                return entry.tree
            if not folder:
                return None
            folder = folder.rpartition("/")[0]

    def keep_tree(self, run: RunPath, folder: str, tree: Tree) -> None:
        """Remember all files of a run below a folder."""
        seconds = self._seconds
        if seconds is None:
            seconds = LATE if self.has_ended(run) else SOON
        if seconds <= 0:
            return
        self._runs.setdefault(run, {})[folder] = _Entry(tree, self._now() + seconds)
        while self._count() > MOST_FILES and len(self._runs) > 1:
            self._runs.pop(next(iter(self._runs)), None)  # the one that was listed first

    def folder(self, path: str) -> list[Info] | None:
        """Return what lies in an entity or a project; ``None`` if that is not known."""
        expires, infos = self._folders.get(path, (0.0, []))
        return infos if expires > self._now() else None

    def keep_folder(self, path: str, infos: list[Info]) -> None:
        """Remember what lies in an entity or a project."""
        seconds = SOON if self._seconds is None else self._seconds
        if seconds > 0:
            self._folders[path] = (self._now() + seconds, infos)

    def keep_state(self, run: RunPath, state: str | None) -> None:
        """Remember the state of a run, as it was listed."""
        self._states[run] = state or ""

    def has_ended(self, run: RunPath) -> bool:
        """Return whether the run had ended when its project was listed."""
        return self._states.get(run) in ENDED

    def forget(self, run: RunPath | None = None) -> None:
        """Forget what was listed of a run and above it, or everything."""
        self._folders.clear()
        if run is None:
            self._runs.clear()
            self._states.clear()
        else:
            self._runs.pop(run, None)
            self._states.pop(run, None)  # it changes, whatever its state

    def _count(self) -> int:
        return sum(len(entry.tree.files) for entries in list(self._runs.values()) for entry in list(entries.values()))
