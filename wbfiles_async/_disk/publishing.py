"""The steps by which a finished file gets its name, on file systems that do not know all of them. Blocking."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

_NO_FLUSH_OF_FOLDERS = {errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP}


def marked_as_written(file: int) -> tuple[int, int, int, int]:
    """Give a file a time of modification of its own, a microsecond ago, and return what identifies its content.

    The clock of most file systems stands still for some milliseconds, and a change right after the publishing
    could leave all times as they are. But every change sets both times, of modification and of status, to
    the same; so as long as the first is the earlier one, there was none.

    Returns:
        Device, inode, length, and time of modification in nanoseconds.
    """
    written = os.fstat(file)
    modified = written.st_mtime_ns - 1000
    with suppress(OSError):  # a file system that keeps no such times
        os.utime(file, ns=(written.st_atime_ns, modified))
    return written.st_dev, written.st_ino, written.st_size, modified


def status_if_unchanged(name: str, folder: int, marked: tuple[int, int, int, int]) -> os.stat_result | None:
    """Look at a published file; ``None`` if it may be another one, or have been changed, already."""
    with suppress(OSError):  # moved away by now
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        same = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) == marked
        if same and found.st_mtime_ns < found.st_ctime_ns:
            return found
    return None


def rename_new(name: str, target: str, folder: int) -> None:
    """Rename in the folder, unless the target exists."""
    try:
        os.link(name, target, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        # No hard links here, for whatever reason: the check and the rename are two steps then.
        with suppress(FileNotFoundError):
            os.stat(target, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(name, target, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        with suppress(OSError):  # the file is in place, even if its first name remains
            os.unlink(name, dir_fd=folder)


def flush_folder(folder: int) -> None:
    """Wait until the disk holds the names in a folder, where it knows how to do that for folders."""
    try:
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(readable)
        finally:
            os.close(readable)
    except OSError as error:
        if error.errno not in _NO_FLUSH_OF_FOLDERS:
            raise
