"""Finds the places of files below a root, and looks at what is there already.

Blocking; run it through ``Disk``. Folders below the root are opened one by one without following symbolic
links, and all names are resolved in the open folder, so that a parent swapped meanwhile cannot lead outside.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs

from wbfiles_async._protocol.checksums import new_md5
from wbfiles_async._protocol.names import local_parts
from wbfiles_async._transfer.refusals import failures_of
from wbfiles_async.errors import ConfigurationError, UnsafePathError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@attrs.frozen
class Place:
    """Where one file goes.

    Attributes:
        root: The folder the caller named; may be a symbolic link itself.
        parts: The remote name's components, used literally.
    """

    root: Path
    parts: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file's local path."""
        return self.root.joinpath(*self.parts)


def place_for(root: str | os.PathLike[str], name: str, folder: tuple[str, ...] = ()) -> Place:
    """Find where a remote name goes below ``root``.

    Args:
        root: The folder the caller named.
        name: The remote name.
        folder: Components below the root that come before the name's, judged already.

    Raises:
        UnsafePathError: The name cannot be used literally below the root on every system.
    """
    return Place(root if isinstance(root, Path) else Path(root), folder + local_parts(name))


def place_at(path: str | os.PathLike[str], root: str | os.PathLike[str] = ".") -> Place:
    """Return the place of a file that the caller names, whatever its remote name.

    Args:
        path: The file to write.
        root: What was given besides, to which ``path`` is an alternative.

    Raises:
        ConfigurationError: The path names no file, or a root was given too.
    """
    local = Path(path)
    if Path(root) != Path():
        raise ConfigurationError(f"path={str(path)!r} is the very file to write, so give no root beside it.")
    if local.name in ("", "..") or str(path).endswith(os.sep) or "\0" in str(path):
        raise ConfigurationError(
            f"path={str(path)!r} names no file; give the file to write, such as 'data/summary.json'."
        )
    return Place(local.parent, (local.name,))


def prepare(place: Place) -> bool:
    """Look whether a file can go to the place, before any byte is asked for.

    Returns:
        Whether a regular file is there already.

    Raises:
        UnsafePathError: A symbolic link is in the way.
        LocalWriteError: Something else is in the way, or the folder cannot be written to.
    """
    taken = exists(place)
    check_writable(place.path.parent)
    return taken


def check_writable(folder: Path) -> None:
    """Check that files can be made in the folder, or that it can be made.

    Raises:
        LocalWriteError: They cannot, or it cannot.
    """
    with failures_of(lambda: folder):
        above = folder
        while not os.path.lexists(above) and above != above.parent:
            above = above.parent
        if not os.access(above, os.W_OK | os.X_OK):
            readonly = os.statvfs(above).f_flag & os.ST_RDONLY
            reason = errno.EROFS if readonly else errno.EACCES
            raise OSError(reason if above.is_dir() else errno.ENOTDIR, os.strerror(reason))


def exists(place: Place) -> bool:
    """Tell whether a regular file is at the place.

    Raises:
        UnsafePathError: A symbolic link is in the way.
        LocalWriteError: Something else is in the way.
    """
    with failures_of(lambda: place.path):
        try:
            folder = open_folder(place, create=False)
        except FileNotFoundError:
            return False
        try:
            return status_of(place, folder) is not None
        finally:
            os.close(folder)


def has_content(place: Place, *, size: int | None, md5: bytes | None) -> os.stat_result | None:
    """Tell whether the file at the place has this length and, where known, this md5.

    Returns:
        Its status from before it was read; ``None`` where it has not.
    """
    with failures_of(lambda: place.path):
        try:
            folder = open_folder(place, create=False)
        except FileNotFoundError:
            return None
        try:
            found = status_of(place, folder)
            if found is None or (size is not None and found.st_size != size) or (size is None and md5 is None):
                return None
            if md5 is None:
                return found
            file = os.open(place.parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            with open(file, "rb", buffering=0) as content:
                found = os.fstat(file)
                return found if hashlib.file_digest(content, new_md5).digest() == md5 else None
        finally:
            os.close(folder)


def statuses(places: Iterable[Place]) -> Iterator[tuple[bool, os.stat_result | None]]:
    """Look at many places; quickest where those of one folder follow one another.

    Yields:
        Whether anything is there; and the status of a regular file that can be reached without following links.
    """
    folder, opened = -1, None
    try:
        for place in places:
            if opened != (above := (place.root, place.parts[:-1])):
                if folder >= 0:
                    os.close(folder)
                folder, opened = -1, above
                with suppress(OSError, UnsafePathError):
                    folder = open_folder(place, create=False)
            if folder < 0:
                yield os.path.lexists(place.path), None
                continue
            found = None
            with suppress(OSError):
                found = os.stat(place.parts[-1], dir_fd=folder, follow_symlinks=False)
            yield found is not None, found if found is not None and stat.S_ISREG(found.st_mode) else None
    finally:
        if folder >= 0:
            os.close(folder)


def open_folder(place: Place, *, create: bool) -> int:
    """Open the folder the file lies in, below the root only through folders that are no links."""
    flags = _FOLDER & ~os.O_NOFOLLOW
    try:
        folder = os.open(place.root, flags)
    except FileNotFoundError:
        if not create:
            raise
        place.root.mkdir(parents=True, exist_ok=True)
        folder = os.open(place.root, flags)
    for part in place.parts[:-1]:
        try:
            inner = _enter(place, folder, part, create=create)
        finally:
            os.close(folder)
        folder = inner
    return folder


def status_of(place: Place, folder: int) -> os.stat_result | None:
    """Look at the target without following it; anything but a regular file or nothing is refused."""
    name = place.parts[-1]
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found.st_mode):
        return found
    if stat.S_ISLNK(found.st_mode):
        raise _through_link(place, name)
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, "a folder of that name is in the way")
    raise OSError(errno.EEXIST, "something that is no regular file is in the way")


def _enter(place: Place, folder: int, part: str, *, create: bool) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=folder)
        return os.open(part, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(part, folder):
            raise _through_link(place, part) from error
        raise


def _is_link(name: str, folder: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _through_link(place: Place, part: str) -> UnsafePathError:
    return UnsafePathError(
        f"{place.path}: {part!r} is a symbolic link below the root {place.root}, and writing through it could leave "
        "the root. Remove the link, or name the folder it leads to as the root.",
        name="/".join(place.parts),
    )
