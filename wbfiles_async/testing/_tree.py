"""The served folder, ``ROOT/<entity>/<project>/<run>/<files>``: where things lie, and every change to them.

Nothing outside of the root is read or written, whatever the names say. Knows nothing of HTTP and GraphQL.
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
"""The server's own folder below the root; no entity's name begins with a dot."""


@attrs.frozen
class StoredFile:
    """A run's file as it lies on the disk.

    Attributes:
        run: The run it belongs to.
        name: Its name in the run.
        path: Where it lies.
        size: Length in bytes.
        mtime: Time of the last change, in seconds since the epoch.
    """

    run: RunPath
    name: str
    path: Path
    size: int
    mtime: float


class Tree:
    """Finds, lists, publishes and deletes the files of runs; safe for threads.

    Args:
        root: The folder.
        told_of_uploads: Whether a body that `publish_upload` takes is kept aside until `mark` names it.
    """

    def __init__(self, root: Path, *, told_of_uploads: bool = False) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve()
        self._listings = Listings()
        # A folder that was just made for a new file must not be taken for one that a deletion left empty.
        self._changing = threading.Lock()
        self._told_of_uploads = told_of_uploads
        self._unmarked: dict[tuple[RunPath, str], Path] = {}

    @property
    def private(self) -> Path:
        """Where the server keeps what is no run's file; on the same file system as the runs."""
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
        """Return a project's runs by the order of their ids."""
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
        """Return when the folder of a project, or of a run, changed last, in seconds since the epoch."""
        # Not by Path: this is asked of every run of a project, page by page.
        return os.stat(os.path.join(self._root, *parts)).st_mtime

    def create_run(self, run: RunPath) -> Path:
        """Make a run's folder, with the folders above it, where it does not exist; return it.

        Raises:
            UnusableNameError: A part of the path cannot name a folder, or leads out of the root.
        """
        for part in (run.entity, run.project, run.run_id):
            check_folder_name(part)
        folder = self._inside(self._folder(run))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def temporary(self) -> Path:
        """Return an unused path for a body on its way to `publish`; never listed as a run's file."""
        folder = self.private / "uploads"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / uuid.uuid4().hex

    def publish(self, temporary: Path, run: RunPath, name: str) -> Path:
        """Move a finished body to its name in one step, replacing what was there; return where it lies.

        Raises:
            UnusableNameError: The name cannot be used, or leads out of the root.
            OSError: A folder has that name, or a file the name of one of its folders.
        """
        with self._changing:
            path = self._locate(run, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
        return path

    def publish_upload(self, temporary: Path, run: RunPath, name: str) -> None:
        """Publish the body of an upload, or keep it until it is marked.

        Raises:
            UnusableNameError, OSError: As `publish` does.
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
        """Publish an upload that was kept; return whether the run has a file of that name now."""
        with self._changing:
            kept = self._unmarked.pop((run, name), None)
        if kept is not None:
            self.publish(kept, run, name)
        return self.find(run, name) is not None

    def delete(self, file: StoredFile) -> bool:
        """Delete a file and the folders of the run that this empties; return whether it was there."""
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
            raise UnusableNameError(f"a symbolic link lies on the way to {path.relative_to(self._root)}")
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
