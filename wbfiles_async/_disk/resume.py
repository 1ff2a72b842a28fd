"""Creates temporary files, and reuses those of interrupted downloads of the same file.

Such a file is found by its name, and used only if no other process has it open or holds it (see ``locks``). That does
not reveal other machines that share the disk, so bytes are reused only if this machine wrote them since it was started.
Blocking.
"""

from __future__ import annotations

import errno
import secrets
import stat
import sys
import time
from contextlib import suppress

import attrs

from wbfiles_async._disk.folder import Folder, OpenFile, is_own
from wbfiles_async._disk.journal import Header, Journal, parse_journal
from wbfiles_async._disk.machine import boot, host
from wbfiles_async._disk.names import part_name, temporary_name
from wbfiles_async._disk.paths import local_name

STALE_SECONDS = 86_400.0
"""Age in seconds at which a temporary file of unknown origin is removed: no download pauses for a day."""

CLOSED_SECONDS = 10.0 if sys.platform == "win32" else 0.0
"""Maximum seconds between closing a complete file and publishing it; see ``portable``."""

_LONGEST_JOURNAL = 16 << 20  # a million parts


@attrs.frozen
class Opened:
    """A temporary file, open for reading and writing.

    Attributes:
        file: The file.
        name: Its name in the folder.
        journal: The parts that it contains; ``None`` if it is new.
    """

    file: OpenFile
    name: str
    journal: Journal | None = None


def open_temporary(final: str, folder: Folder, *, size: int | None, md5: bytes | None) -> Opened:
    """Create the temporary file of ``final``, or reuse that of an interrupted download.

    Args:
        final: The final name of the file.
        folder: The folder.
        size: Length of the complete file in bytes, if known.
        md5: Its md5; ``None`` to reuse no bytes.

    Raises:
        OSError: It cannot be created.
    """
    name = part_name(final)
    try:
        return Opened(folder.create(local_name(name)), name)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        final = ""  # on a disk with shorter names than most, the final name may still be possible
    with suppress(OSError):
        left: OpenFile | None = None
        try:
            left = folder.open(local_name(name))
            # Claim it first: a process that still has it may change or publish it until then.
            only_ours = left.claim() and left.has_its_name()
            journal = None if size is None else _read_journal(left, size)
            if only_ours and _is_usable(left, journal, size, md5):
                opened = Opened(left, name, journal)
                left = None
                return opened
            if is_dead(left, journal, only_ours=only_ours):
                left.remove()
                return Opened(folder.create(local_name(name)), name)
        finally:
            if left is not None:
                left.close()
    name = temporary_name(final, secrets.token_hex(8))
    return Opened(folder.create(local_name(name)), name)


def header_for(size: int, md5: bytes | None, etag: str | None) -> Header:
    """Return the header for a temporary file of this process."""
    return Header(size=size, md5=md5 or b"", etag=etag or "", host=host(), boot=boot())


def _read_journal(file: OpenFile, size: int) -> Journal | None:
    return parse_journal(file.read(_LONGEST_JOURNAL, size))


def _is_usable(file: OpenFile, journal: Journal | None, size: int | None, md5: bytes | None) -> bool:
    """Return whether the bytes can be reused, provided that no other process uses the file."""
    if journal is None or not journal.parts or size is None or not md5:
        return False
    header = journal.header
    return (
        bool(header.etag)
        and header == header_for(size, md5, header.etag)
        and bool(header.boot)
        and is_own(file.status())
    )


def is_dead(file: OpenFile, journal: Journal | None, *, only_ours: bool, used: float = 0.0) -> bool:
    """Return whether no process can still use the file, so that it can be removed.

    Args:
        file: The file.
        journal: Its journal; ``None`` if it has none.
        only_ours: Whether this process has claimed it.
        used: When it was used, in seconds since 1970, if its time of modification does not show that.
    """
    found = file.status()
    if not stat.S_ISREG(found.st_mode):
        return False
    age = time.time() - max(found.st_mtime, used)
    elsewhere = journal is not None and journal.header.host != host()
    released = journal is not None or age >= CLOSED_SECONDS
    return (only_ours and released and not elsewhere) or age > STALE_SECONDS
