"""Translates failed file operations into errors that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import attrs

from wbfiles_async.errors import LocalReadError, LocalWriteError, WBFilesError

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or choose another root",
    errno.EDQUOT: "your quota on that disk is used up; free some space or choose another root",
    errno.EFBIG: "the file is larger than that disk or your limits allow; choose another root",
    errno.EROFS: "that disk is read-only; choose another root",
    errno.EACCES: "you may not write there; choose another root or change its permissions",
    errno.EPERM: "you may not write there; choose another root or change its permissions",
    errno.ENOTDIR: "a file is where a folder is needed; move it or choose another root",
    errno.EISDIR: "move it or choose another root",
    errno.EEXIST: "something that is no regular file is where the file shall go; move it or choose another root",
    errno.ENAMETOOLONG: "the path is too long for that disk; choose a shorter root",
    errno.EINVAL: "that disk may not be able to hold a file of that name; choose a root on another disk",
    errno.EILSEQ: "that disk cannot hold a file of that name; choose a root on another disk",
    errno.EMFILE: "this process has too many files open; raise its limit (ulimit -n) or use fewer connections",
    errno.ENFILE: "this machine has too many files open; end other programs, or try again later",
    errno.ENOMEM: "no memory is left; end other programs, or use fewer connections",
    errno.ENOENT: "its folder cannot be created or was removed meanwhile; choose another root, or try again",
    errno.ELOOP: "a link is where a folder is needed; remove it or choose another root",
    errno.EIO: "the disk reports an error; check it, or choose another root",
}


_HELD_BY_OTHERS = {32, 33}
"""Windows' error numbers for files that another program has open or locked."""

_MAY_BE_HELD = 5
"""Windows' error number for refused access, also for replacing an open file."""


@attrs.frozen(eq=False)
class failures_of:  # noqa: N801  # reads as what it is, a context manager; a function would cost three times as much
    """Turn an ``OSError`` into an error that says what to do.

    Args:
        path: Returns the local file's path; called only for a message.
    """

    _path: Callable[[], Path]

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise ``LocalWriteError`` in place of other ``OSError``s."""
        if isinstance(error, OSError) and not isinstance(error, WBFilesError):
            raise local_failure(error, self._path()) from error


def local_failure(error: OSError, path: Path) -> LocalWriteError:
    """Translate a failed file operation of the download to ``path``."""
    advice = _ADVICE.get(error.errno or 0, "check the disk, or choose another root")
    number = getattr(error, "winerror", 0)
    if number in _HELD_BY_OTHERS:
        advice = "another program has the file open; close it there, or choose another root"
    elif number == _MAY_BE_HELD:
        advice += ", or close the program that has the file open"
    detail = error.strerror or type(error).__name__
    return LocalWriteError(f"{path} cannot be written ({detail}): {advice}.", errno=error.errno, path=path)


_READING = {
    errno.ENOENT: "there is no such file; check the path",
    errno.EACCES: "you may not read it; change its permissions, or leave it out",
    errno.EPERM: "you may not read it; change its permissions, or leave it out",
    errno.ELOOP: "it is a symbolic link; give the file that it leads to, or leave it out",
    errno.ENOTDIR: "a folder of its path is a file",
    errno.EISDIR: "it is a folder",
    errno.ENXIO: "it is not a regular file; leave it out",
    errno.EIO: "the disk reports an error; check it",
}


def read_failure(error: OSError, path: Path) -> LocalReadError:
    """Translate a failed file operation of the upload of ``path``."""
    advice = _READING.get(error.errno or 0) or _ADVICE.get(error.errno or 0, "check the disk").partition(";")[0]
    detail = error.strerror or type(error).__name__
    return LocalReadError(f"{path} cannot be read ({detail}): {advice}.", errno=error.errno, path=path)
