"""What is uploaded: finds local files, and their names in the run. Blocking; run it through ``Disk``."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from wbfiles_async._disk.errors import read_failure
from wbfiles_async._disk.names import STAGING_NAME, is_ours, reason_against
from wbfiles_async._disk.reading import no_regular_file
from wbfiles_async._download.selection import Selection
from wbfiles_async.errors import ConfigurationError, LocalReadError, UnsafePathError, WBFilesError

__all__ = [
    "FoundFile",
    "GivenBytes",
    "GivenPath",
    "ToUpload",
    "batches_of",
    "find_files",
    "name_refusal",
    "path_list",
    "read_one",
    "read_paths",
]

BATCH_FILES: Final = 100
"""Files of a batch: as many as one request of the API names."""

BATCH_BYTES: Final = 256 << 20
"""Bytes that complete a batch, whose files are checked after all are sent, and whose signed URLs are requested at
the start."""


@attrs.frozen
class GivenPath:
    """A path from the caller.

    Attributes:
        path: The path, absolute.
        name: Its name relative to the root, with ``/`` between folders; empty for the root itself.
        is_folder: Whether it is a folder.
    """

    path: Path
    name: str
    is_folder: bool


@attrs.frozen(kw_only=True)
class FoundFile:
    """A file to upload.

    Attributes:
        name: Its name in the run.
        path: Where it is.
        size: Length in bytes, when it was found.
        given: Whether the caller named it rather than its folder. Then it may be a symbolic link.
        error: Why it cannot be uploaded.
    """

    name: str
    path: Path
    size: int = 0
    given: bool = False
    error: WBFilesError | None = None


@attrs.frozen(kw_only=True)
class GivenBytes:
    """Bytes to upload, which must not change meanwhile.

    Attributes:
        name: The name of their file in the run.
        data: The bytes.
    """

    name: str
    data: bytes

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    @property
    def path(self) -> None:
        """They are no local file."""
        return

    @property
    def error(self) -> None:
        """Nothing keeps them from being uploaded."""
        return


ToUpload: TypeAlias = FoundFile | GivenBytes
"""What becomes one file of a run."""


def read_paths(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], root: str | os.PathLike[str]
) -> list[GivenPath]:
    """Check the caller's paths.

    Args:
        paths: Files and folders, relative to the current one; or a single one.
        root: The folder whose files have no folder in the run.

    Returns:
        The paths, each once, without those in another given folder.

    Raises:
        ConfigurationError: There are none, or one of them is not below the root.
        LocalReadError: One of them does not exist, or is neither a file nor a folder.
    """
    several = path_list(paths)
    if not several:
        raise ConfigurationError("Nothing to upload: the list of paths is empty.")
    base = Path(os.path.abspath(root))  # noqa: PTH100  # links in it stay as the caller wrote them
    found: dict[str, GivenPath] = {}
    for each in several:
        given = _read_path(each, base)
        found[given.name] = given
    folders = {given.name for given in found.values() if given.is_folder}
    return [given for given in found.values() if not any(above in folders for above in _folders_above(given.name))]


def path_list(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """Return the caller's paths, such as from a generator, as a list.

    Raises:
        ConfigurationError: It is neither a path nor a collection of paths.
    """
    if isinstance(paths, str | os.PathLike):
        return [paths]
    try:
        several = list(paths)
    except TypeError:
        raise ConfigurationError(f"What to upload is a path or a list of paths, not {paths!r}.") from None
    for each in several:
        if not isinstance(each, str | os.PathLike):
            raise ConfigurationError(f"What to upload is a path or a list of paths; {each!r} in it is not a path.")
    return several


def _read_path(given: str | os.PathLike[str], base: Path) -> GivenPath:
    text = os.fspath(given)
    if not text or "\0" in text:
        raise ConfigurationError(f"{text!r} is not the path of a file or folder to upload.")
    path = Path(os.path.abspath(text))  # noqa: PTH100  # the same
    try:
        name = "" if path == base else Path(os.path.relpath(path, base)).as_posix()
    except ValueError:  # on another drive of Windows
        name = ".."
    if name == ".." or name.startswith("../"):
        raise ConfigurationError(
            f"{text} is not below the root {base}, and names in a run are those below the root. Give root= a folder "
            "above it, such as the one that it lies in."
        )
    try:
        status = path.stat()
    except OSError as error:
        raise read_failure(error, path) from error
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise no_regular_file(path, status.st_mode)
    if not name and not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"root={str(base)!r} is the file to upload itself; give a folder that it lies in.")
    return GivenPath(path, name, stat.S_ISDIR(status.st_mode))


def _folders_above(name: str) -> Iterator[str]:
    """Yield the folders of a name, including the root."""
    if name:
        yield ""
    at = name.rfind("/")
    while at > 0:
        yield name[:at]
        at = name.rfind("/", 0, at)


def find_files(paths: Sequence[GivenPath], selection: Selection) -> Iterator[FoundFile]:
    """Find the selected files, folder by folder, each folder sorted by name.

    Links in a folder are not followed, since they may lead out of it or form cycles; a link given by the caller is.
    Files of this package's own downloads are skipped.
    """
    for given in paths:
        if given.is_folder:
            yield from _walk(given, selection)
        elif selection.accepts(given.name):
            yield _judged(FoundFile(name=given.name, path=given.path, given=True))


def _walk(given: GivenPath, selection: Selection) -> Iterator[FoundFile]:
    pending = [(given.path, f"{given.name}/" if given.name else "")]
    while pending:
        folder, prefix = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if selection.accepts(prefix):
                yield FoundFile(name=prefix, path=folder, error=read_failure(error, folder))
            continue
        folders = []
        for entry in entries:
            name, path = prefix + entry.name, Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                if entry.name != STAGING_NAME:
                    folders.append((path, f"{name}/"))
            elif not is_ours(entry.name) and selection.accepts(name):
                yield _judged(FoundFile(name=name, path=path))
        pending += reversed(folders)


def _judged(found: FoundFile) -> FoundFile:
    """Return the file with its length, or with its error."""
    try:
        status = os.stat(found.path) if found.given else os.lstat(found.path)
    except OSError as error:
        return attrs.evolve(found, error=read_failure(error, found.path))
    if stat.S_ISLNK(status.st_mode):
        reason = OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return attrs.evolve(found, error=read_failure(reason, found.path))
    if not stat.S_ISREG(status.st_mode):
        return attrs.evolve(found, error=no_regular_file(found.path, status.st_mode))
    return attrs.evolve(found, size=status.st_size, error=name_refusal(found.name))


def name_refusal(name: str) -> UnsafePathError | None:
    """Return why a local file cannot be uploaded under its name: a later download could not write it."""
    reason = reason_against(name)
    if reason is None:
        return None
    shown = name.encode(errors="backslashreplace").decode()
    shown = shown if len(shown) <= 200 else shown[:200] + "…"
    return UnsafePathError(
        f"the local file {shown!r} cannot be uploaded as it is named: {reason}. Rename it, or leave it out.", name=name
    )


def batches_of(files: Iterable[ToUpload]) -> Iterator[list[ToUpload]]:
    """Group files into batches."""
    batch, size = list[ToUpload](), 0
    for file in files:
        batch.append(file)
        size += file.size
        if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_one(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> FoundFile:
    """Check the path of one file, like `read_paths`.

    Raises:
        ConfigurationError: It is not below the root.
        LocalReadError: It does not exist, or is no regular file.
        UnsafePathError: It cannot be uploaded under its name.
    """
    (given,) = read_paths(path, root)
    if given.is_folder:
        raise LocalReadError(
            f"{given.path} cannot be read (it is a folder): upload a folder by run.upload(...).",
            errno=errno.EISDIR,
            path=given.path,
        )
    (found,) = find_files([given], Selection())
    if found.error is not None:
        raise found.error
    return found
