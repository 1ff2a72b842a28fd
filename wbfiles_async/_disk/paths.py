"""Resolves target paths, and checks what exists there.

Blocking; run it through ``Disk``. Folders below the root are opened one by one without following symbolic links (see
``folder``), so that a swapped parent cannot lead outside.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

import attrs

from wbfiles_async._disk.errors import failures_of
from wbfiles_async._disk.folder import Folder, is_link
from wbfiles_async._disk.names import local_parts, reason_on_windows
from wbfiles_async._disk.system import open_root
from wbfiles_async._md5 import new_md5
from wbfiles_async.errors import ConfigurationError, UnsafePathError

_BY_EFFECTIVE_ID = os.access in os.supports_effective_ids
_UNREADABLE = {errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT}

_NAMES_ARE_UTF8 = sys.getfilesystemencoding().lower() == "utf-8"


@attrs.frozen
class TargetPath:
    """The path that one file is written to.

    Attributes:
        root: The folder the caller named; may be a symbolic link itself.
        parts: The remote name's components, used literally.
    """

    root: Path
    parts: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file's local path."""
        return self.root.joinpath(*map(local_name, self.parts))

    @property
    def name(self) -> str:
        """The last component, in the operating system's form."""
        return local_name(self.parts[-1])


def local_name(part: str) -> str:
    """Return a component in the operating system's form: its UTF-8 bytes, whatever the locale."""
    return part if _NAMES_ARE_UTF8 else os.fsdecode(part.encode())


def target_below(
    root: str | os.PathLike[str], name: str, folder: tuple[str, ...] = (), *, portable: bool = False
) -> TargetPath:
    """Return the target path of a remote name below ``root``.

    Args:
        root: The folder the caller named.
        name: The remote name.
        folder: Components below the root that come before the name's.
        portable: Whether to refuse names that only another system cannot hold.

    Raises:
        UnsafePathError: The name cannot be used literally below the root.
    """
    portable = portable or sys.platform == "win32"
    if portable and folder:
        local_parts("/".join(folder), portable=True)
    return TargetPath(root if isinstance(root, Path) else Path(root), folder + local_parts(name, portable=portable))


def target_at(path: str | os.PathLike[str], root: str | os.PathLike[str] = ".") -> TargetPath:
    """Return the target path that the caller chose for a file, whatever its remote name.

    Args:
        path: The file to write.
        root: The root that was also given, if any; an error.

    Raises:
        ConfigurationError: The path names no file, or a root was given too.
    """
    local = Path(path)
    if Path(root) != Path():
        raise ConfigurationError(f"path={str(path)!r} is the file to write, so leave out root.")
    if local.name in ("", "..") or str(path).endswith((os.sep, os.altsep or os.sep)) or "\0" in str(path):
        raise ConfigurationError(
            f"path={str(path)!r} names no file; give the file to write, such as 'data/summary.json'."
        )
    if sys.platform == "win32" and (reason := reason_on_windows(local.name)) is not None:
        raise ConfigurationError(f"path={str(path)!r} names no file that Windows can hold: {reason}.")
    return TargetPath(local.parent, (local.name,))


def check_target(target: TargetPath, *, replace: bool) -> bool:
    """Check whether a file can be written to a path, before any byte is requested.

    Args:
        target: The path.
        replace: Whether an existing file will be replaced; otherwise nothing is written if one exists.

    Returns:
        Whether a regular file exists already.

    Raises:
        UnsafePathError: A symbolic link is in the way.
        LocalWriteError: Something else is in the way, or the folder cannot be written to.
    """
    taken = exists(target)
    if replace or not taken:
        folder = target.path.parent
        with failures_of(lambda: folder):
            if (refusal := refusal_of(folder)) is not None:
                raise refusal
    return taken


def check_writable(root: Path) -> None:
    """Check that the root is writable, or already has contents.

    Raises:
        LocalWriteError: Neither.
    """
    with failures_of(lambda: root):
        refusal = refusal_of(root)
        if refusal is not None and not _holds_anything(root):
            raise refusal


def refusal_of(folder: Path) -> OSError | None:
    """Return why neither a file in the folder, nor the folder, can be created; ``None`` if no reason is known."""
    above = folder
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    # Either check may be wrong: the first for a process that acts as another user, the second in some containers.
    wanted = os.W_OK | os.X_OK
    if os.access(above, wanted) or (_BY_EFFECTIVE_ID and os.access(above, wanted, effective_ids=True)):
        return None
    reason = errno.EACCES if os.path.isdir(above) else errno.ENOTDIR  # noqa: PTH112  # Path's may raise
    if sys.platform != "win32":
        with suppress(OSError):
            if os.statvfs(above).f_flag & os.ST_RDONLY:
                reason = errno.EROFS
    return OSError(reason, os.strerror(reason))


def _holds_anything(folder: Path) -> bool:
    """Return whether a folder has entries, or may have, since it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except PermissionError:
        return True
    except OSError:
        return False


def exists(target: TargetPath) -> bool:
    """Return whether a path is a regular file.

    Raises:
        UnsafePathError: A symbolic link is in the way.
        LocalWriteError: Something else is in the way.
    """
    with failures_of(lambda: target.path):
        try:
            folder = open_folder(target, create=False)
        except FileNotFoundError:
            return False
        try:
            return status_of(target, folder) is not None
        finally:
            folder.close()


def has_content(target: TargetPath, *, size: int | None, md5: bytes | None) -> os.stat_result | None:
    """Return whether the file at a path has this length and, if known, this md5.

    Returns:
        Its status from before it was read; ``None`` if it differs.
    """
    with failures_of(lambda: target.path):
        try:
            folder = open_folder(target, create=False)
        except FileNotFoundError:
            return None
        try:
            found = status_of(target, folder)
            if found is None or (size is not None and found.st_size != size) or (size is None and md5 is None):
                return None
            if md5 is None:
                return found
            try:
                return _if_right(target, folder, md5)
            except OSError as error:  # an unreadable file cannot be verified
                if error.errno not in _UNREADABLE:
                    raise
                return None
        finally:
            folder.close()


def _if_right(target: TargetPath, folder: Folder, md5: bytes) -> os.stat_result | None:
    file = folder.open_for_reading(target.name)
    try:
        found = file.status()
        return found if hashlib.file_digest(file.reader(), new_md5).digest() == md5 else None
    finally:
        file.close()


def open_folder(target: TargetPath, *, create: bool) -> Folder:
    """Open the file's folder, below the root without following links."""
    try:
        folder = open_root(target.root)
    except FileNotFoundError:
        if not create:
            raise
        target.root.mkdir(parents=True, exist_ok=True)
        folder = open_root(target.root)
    for part in target.parts[:-1]:
        try:
            inner = _enter(target, folder, local_name(part), create=create)
        finally:
            folder.close()
        folder = inner
    return folder


def status_of(target: TargetPath, folder: Folder) -> os.stat_result | None:
    """Check the target without following it; refuse anything but a regular file or nothing."""
    name = target.parts[-1]
    try:
        found = folder.status(target.name)
    except FileNotFoundError:
        return None
    if is_link(found):
        raise _through_link(target, name)
    if stat.S_ISREG(found.st_mode):
        return found
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, "a folder of that name is in the way")
    raise OSError(errno.EEXIST, "something that is not a regular file is in the way")


def _enter(target: TargetPath, folder: Folder, part: str, *, create: bool) -> Folder:
    try:
        return folder.enter(part, create=create)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and is_link(folder.status(part)):
            raise _through_link(target, part) from error
        raise


def _through_link(target: TargetPath, part: str) -> UnsafePathError:
    return UnsafePathError(
        f"{target.path}: {part!r} is a symbolic link below the root {target.root}, and writing through it could leave "
        "the root. Remove the link, or name the folder it leads to as the root.",
        name="/".join(target.parts),
    )
