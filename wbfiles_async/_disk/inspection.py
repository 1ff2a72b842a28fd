"""Checks many target paths at once: what exists there, and what is in the way. Blocking."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain, islice

import attrs

from wbfiles_async._disk.folder import Folder, is_link
from wbfiles_async._disk.paths import TargetPath, exists, open_folder
from wbfiles_async._threads import ThreadsExhaustedError, WorkerThreads
from wbfiles_async._waiting import MANY_THREADS, Waiting
from wbfiles_async.errors import LocalWriteError, UnsafePathError, WBFilesError

_LOOKS = 4
"""Places that are looked at together to see how long the disk takes."""

_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}


@attrs.frozen
class Found:
    """What is at a target path.

    Attributes:
        taken: Whether anything is.
        status: That of a regular file that can be reached without following links.
        error: Why no file can go there.
    """

    taken: bool = False
    status: os.stat_result | None = None
    error: WBFilesError | None = None


def inspect_many(targets: Sequence[TargetPath]) -> Sequence[Found]:
    """Look at many targets; quickest where those of one folder follow one another.

    In many threads where each look has to wait for the disk.
    """
    waiting, found = Waiting(), list[Found]()
    looks = _inspect_many(targets)
    while len(found) < len(targets) and not waiting.is_long:
        found += waiting.measure(lambda: list(islice(looks, _LOOKS)))
    looks.close()
    rest = targets[len(found) :]
    share = max(1, -(-len(rest) // MANY_THREADS))
    shares = [rest[start : start + share] for start in range(0, len(rest), share)]
    threads = WorkerThreads("wbfiles-disk")
    try:
        others: list[Future[list[Found]]] = [threads.submit(partial(list, _inspect_many(each))) for each in shares]
    except ThreadsExhaustedError:
        return list(chain(found, _inspect_many(rest)))
    finally:
        threads.close()
    return list(chain(found, *(other.result() for other in others)))


def _inspect_many(targets: Sequence[TargetPath]) -> Generator[Found]:
    folder: Folder | None = None
    opened, is_missing = None, False
    try:
        for target in targets:
            if opened != (above := (target.root, target.parts[:-1])):
                if folder is not None:
                    folder.close()
                folder, opened, is_missing = None, above, False
                try:
                    folder = open_folder(target, create=False)
                except FileNotFoundError:
                    is_missing = True
                except (OSError, UnsafePathError):
                    pass
            if is_missing:
                yield Found()
            elif folder is None:
                yield _obstacle(target)
            else:
                yield _look_into(target, folder)
    finally:
        if folder is not None:
            folder.close()


def _look_into(target: TargetPath, folder: Folder) -> Found:
    try:
        status = folder.status(target.name)
    except FileNotFoundError:
        return Found()
    except OSError:
        return _obstacle(target)
    return Found(True, status) if stat.S_ISREG(status.st_mode) and not is_link(status) else _obstacle(target)


def _obstacle(target: TargetPath) -> Found:
    """Say what is in the way of a file, if it still is, and if it has to do with the path."""
    try:
        return Found(exists(target))
    except UnsafePathError as error:
        return Found(True, error=error)
    except LocalWriteError as error:
        return Found(os.path.lexists(target.path), error=None if error.errno in _NO_DESCRIPTORS else error)
