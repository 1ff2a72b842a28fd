"""The served folder, ``ROOT/<entity>/<project>/<run>/<files>``: finds, lists, publishes and deletes files.

Nothing outside the root is read or written, whatever the names are. Does not know HTTP or GraphQL.
"""

from __future__ import annotations

import os
import stat
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

import attrs

from wbfiles_async._models import RunPath
from wbfiles_async.testing._listing import Listings
from wbfiles_async.testing._names import UnusableNameError, check_file_name, check_folder_name, is_folder_name

_PRIVATE = ".wbfiles"
"""The server's own folder below the root; the names of entities do not begin with a dot."""


@attrs.frozen
class StoredFile:
    """A file of a run on the disk.

    Attributes:
        run: The run.
        name: The name in the run.
        path: The local path.
        size: The length in bytes.
        mtime: The time of the last change, in seconds since the epoch.
    """

    run: RunPath
    name: str
    path: Path
    size: int
    mtime: float


class Tree:
    """Finds, lists, publishes and deletes files of runs. Thread-safe.

    Args:
        root: The folder.
        told_of_uploads: Whether an uploaded file is published only by `mark`.
    """

    def __init__(self, root: Path, *, told_of_uploads: bool = False) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve()
        self._listings = Listings()
        # Otherwise a deletion could remove the still empty folder of a new file.
        self._changing = threading.Lock()
        self._told_of_uploads = told_of_uploads
        self._unmarked: dict[tuple[RunPath, str], Path] = {}

    @property
    def private(self) -> Path:
        """The folder for everything but files of runs, on the same file system as the runs."""
        return self._root / _PRIVATE

    def has_project(self, entity: str, project: str) -> bool:
        """Return whether a project's folder exists."""
        return self._is_folder(entity, project)

    def has_run(self, run: RunPath) -> bool:
        """Return whether a run's folder exists."""
        return self._is_folder(run.entity, run.project, run.run_id)

    def projects(self, entity: str) -> list[str]:
        """Return the names of an entity's projects in code point order; none if it has no folder."""
        return _folders_in(self._root / entity) if self._is_folder(entity) else []

    def runs(self, entity: str, project: str) -> list[RunPath]:
        """Return a project's runs, ordered by id."""
        return [RunPath(entity, project, run_id) for run_id in _folders_in(self._root / entity / project)]

    def names(self, run: RunPath) -> Sequence[str]:
        """Return the names of a run's files in code point order."""
        return self._listings.names(self._folder(run))

    def find(self, run: RunPath, name: str) -> StoredFile | None:
        """Return a run's file; ``None`` if there is none of that name."""
        try:
            path = self._locate(run, name)
            status = path.stat()
        except (UnusableNameError, OSError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return StoredFile(run, name, path, status.st_size, status.st_mtime)

    def changed_at(self, *parts: str) -> float:
        """Return the time of the last change to the folder of a project or run, in seconds since the epoch."""
        # Not with Path, which is slower: every page calls this for all runs of a project.
        return os.stat(os.path.join(self._root, *parts)).st_mtime

    def create_run(self, run: RunPath) -> Path:
        """Create a run's folder and the folders above it if they do not exist, and return it.

        Raises:
            UnusableNameError: A part of the path cannot be the name of a folder, or leads out of the root.
        """
        for part in (run.entity, run.project, run.run_id):
            check_folder_name(part)
        folder = self._inside(self._folder(run))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def temporary(self) -> Path:
        """Return an unused path for a file before `publish`. It is not in a run, so it is never listed."""
        folder = self.private / "uploads"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / uuid.uuid4().hex

    def publish(self, temporary: Path, run: RunPath, name: str) -> Path:
        """Move a complete file to its name in one step, replacing any file of that name, and return its path.

        Raises:
            UnusableNameError: The name cannot be used, or leads out of the root.
            OSError: A folder has that name, or a file has the name of one of its folders.
        """
        with self._changing:
            path = self._locate(run, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
        return path

    def publish_upload(self, temporary: Path, run: RunPath, name: str) -> None:
        """Publish an uploaded file, or store it until it is marked.

        Raises:
            UnusableNameError: As for `publish`.
            OSError: As for `publish`.
        """
        if not self._told_of_uploads:
            self.publish(temporary, run, name)
            return
        self._locate(run, name)
        kept = self.temporary()
        temporary.replace(kept)
        with self._changing:
            before = self._unmarked.pop((run, name), None)
            self._unmarked[run, name] = kept
        if before is not None:
            before.unlink(missing_ok=True)

    def mark(self, run: RunPath, name: str) -> bool:
        """Publish an upload that was stored, and return whether the run now has a file of that name."""
        with self._changing:
            kept = self._unmarked.pop((run, name), None)
        if kept is not None:
            self.publish(kept, run, name)
        return self.find(run, name) is not None

    def delete(self, file: StoredFile) -> bool:
        """Delete a file, and folders of the run that are then empty; return whether the file existed."""
        with self._changing:
            try:
                file.path.unlink()
            except FileNotFoundError:
                return False
            run_folder = self._folder(file.run)
            for folder in file.path.parents:
                if folder == run_folder or not _remove_if_empty(folder):
                    break
        return True

    def _locate(self, run: RunPath, name: str) -> Path:
        for part in (run.entity, run.project, run.run_id):
            check_folder_name(part)
        return self._inside(self._folder(run) / check_file_name(name))

    def _folder(self, run: RunPath) -> Path:
        return Path(self._root, run.entity, run.project, run.run_id)

    def _inside(self, path: Path) -> Path:
        if os.path.realpath(path) != str(path):
            raise UnusableNameError(f"there is a symbolic link on the way to {path.relative_to(self._root)}")
        return path

    def _is_folder(self, *parts: str) -> bool:
        try:
            return self._inside(self._root.joinpath(*map(check_folder_name, parts))).is_dir()
        except UnusableNameError:
            return False


def _folders_in(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(filter(is_folder_name, names))


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
