"""Finds out whether another process writes a file, by what each system has for that. Blocking, for no time to speak of.

Nothing depends on it but whether what is left of a download can be used: the md5 of the whole file decides.
"""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["claim", "hold"]

if sys.platform == "win32":
    import msvcrt

    _LOCK_AT = 0x7FFFFFF0
    """The byte that is locked: few files have it, it needs not exist, and the C library takes no larger offset here."""

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
        # The kernel grants a lease only to a process that alone has the file open. Should somebody open it in this very
        # moment, the kernel sends us a signal: one that is ignored.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


def hold(file: int) -> None:
    """Keep others from claiming a new file while it is open. Linux needs nothing for that: its leases see who has.

    Raises:
        FileExistsError: Somebody claimed it in this very moment.
    """
    if sys.platform != "linux":
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _TAKEN:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            # Else the file system knows no locks, so nobody can claim it either.


def claim(file: int) -> bool:
    """Return whether nobody else on this machine has a file open, or holds it.

    If that cannot be known, somebody does.
    """
    try:
        _lock(file)
    except OSError:
        return False
    return True
