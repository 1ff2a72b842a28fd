"""Determines whether another process writes a file, with the means of each system. Blocking, but only briefly.

It only decides whether a part file is resumed; correctness depends on the md5 of the whole file.
"""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["claim", "hold"]

if sys.platform == "win32":
    import msvcrt

    _LOCK_AT = 0x7FFFFFF0
    """The locked byte: beyond the end of most files, which is allowed, and the C library's largest offset."""

    def _lock(file: int) -> None:
        before = os.lseek(file, 0, os.SEEK_CUR)
        os.lseek(file, _LOCK_AT, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(file, before, os.SEEK_SET)

elif sys.platform == "linux":
    import fcntl
    import signal

    def _lock(file: int) -> None:
        # The kernel grants a lease only to the only process that has the file open. If another one opens it just
        # then, the kernel sends this process a signal, which is ignored.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


def hold(file: int) -> None:
    """Prevent others from claiming a new file while it is open. Not needed on Linux, whose leases detect open files.

    Raises:
        FileExistsError: Another process claimed it just now.
    """
    if sys.platform != "linux":
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _TAKEN:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            # Otherwise the file system has no locks, so no other process can claim it either.


def claim(file: int) -> bool:
    """Return whether no other process on this machine has a file open or holds it; false if unknown."""
    try:
        _lock(file)
    except OSError:
        return False
    return True
