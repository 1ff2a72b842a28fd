"""Makes temporary files, and takes up those that an interrupted download of the same file left behind.

A left-over is found by its name and taken only where nobody else has it open. The kernel grants a lease
only to a process that alone has the file open; no lock is trusted. A lease says nothing of other machines that
share the disk, so bytes are only taken over from a process of this machine, as it was last started. Blocking.
"""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import stat
import sys
import time
from contextlib import suppress
from functools import cache

import attrs

from wbfiles_async._disk.journal import Header, Journal, parse_journal
from wbfiles_async._disk.names import part_name, temporary_name
from wbfiles_async._disk.paths import local_name

if sys.platform == "linux":
    import fcntl

STALE_SECONDS = 86_400.0
"""Age at which a left-over of unknown origin is removed: no download is silent for a day."""

_LONGEST_JOURNAL = 16 << 20  # a million parts
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_PRIVATE = 0o600


@attrs.frozen
class Opened:
    """A temporary file, open for reading and writing.

    Attributes:
        file: Its descriptor.
        name: Its name in the folder.
        journal: What is in it already; ``None`` if it is new.
    """

    file: int
    name: str
    journal: Journal | None = None


def open_temporary(final: str, folder: int, *, size: int | None, md5: bytes | None) -> Opened:
    """Make the temporary file of ``final``, or take up the one that is left of it.

    Args:
        final: The name the file shall have.
        folder: The open folder it is in.
        size: Length of the whole file.
        md5: Its md5; ``None`` if nothing left over can be used.

    Raises:
        OSError: It cannot be made.
    """
    name = part_name(final)
    try:
        return Opened(_make(name, folder), name)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        final = ""  # a disk that holds shorter names than most may hold that of the file all the same
    with suppress(OSError):
        left = os.open(local_name(name), _OLD, dir_fd=folder)
        try:
            journal = None if size is None else _read_journal(left, size)
            if _take_up(left, journal, size, md5):
                opened, left = Opened(left, name, journal), -1
                return opened
            if _is_dead(left, journal):
                os.unlink(local_name(name), dir_fd=folder)
                return Opened(_make(name, folder), name)
        finally:
            if left >= 0:
                os.close(left)
    name = temporary_name(final, secrets.token_hex(8))
    return Opened(_make(name, folder), name)


def header_for(size: int, md5: bytes | None, etag: str | None) -> Header:
    """Return the header of a file of our own."""
    return Header(size=size, md5=md5 or b"", etag=etag or "", host=_host(), boot=_boot())


def _make(name: str, folder: int) -> int:
    return os.open(local_name(name), _NEW, _PRIVATE, dir_fd=folder)


def _read_journal(file: int, size: int) -> Journal | None:
    return parse_journal(os.pread(file, _LONGEST_JOURNAL, size))


def _take_up(file: int, journal: Journal | None, size: int | None, md5: bytes | None) -> bool:
    """Return whether the bytes in a left-over can be used; if so, nobody else uses it."""
    if journal is None or not journal.parts or size is None or not md5:
        return False
    header = journal.header
    return (
        bool(header.etag)
        and header == header_for(size, md5, header.etag)
        and bool(header.boot)
        and _is_private(file)
        and _is_only_ours(file)
    )


def _is_dead(file: int, journal: Journal | None) -> bool:
    """Return whether nobody can be writing the file any more."""
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        return False
    elsewhere = journal is not None and journal.header.host != _host()
    return (not elsewhere and _is_only_ours(file)) or time.time() - found.st_mtime > STALE_SECONDS


def _is_private(file: int) -> bool:
    """Return whether a file is one that only we could have made and written."""
    found = os.fstat(file)
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_uid == os.geteuid()
        and found.st_nlink == 1
        and stat.S_IMODE(found.st_mode) == _PRIVATE
    )


def _is_only_ours(file: int) -> bool:
    """Return whether nobody on this machine has the file open but for us. If that cannot be known, somebody has."""
    if sys.platform != "linux":
        return False
    try:
        # Should somebody open it in this very moment, the kernel sends us a signal: one that is ignored.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True


def _host() -> str:
    try:
        return socket.gethostname()
    except OSError:
        return ""


@cache
def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            return boot.read().strip()
    except OSError:
        return ""
