"""Checks many target paths at once: existing files and obstacles. Blocking."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Sequence
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
"""Paths that are checked together to measure the disk's latency."""

_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}


@attrs.frozen
class Found:
    """The state of a target path.

    Attributes:
        taken: Whether the path exists.
        status: The status of a regular file that is reached without following links.
        error: Why no file can be written there.
    """

    taken: bool = False
    status: os.stat_result | None = None
    error: WBFilesError | None = None


def inspect_many(targets: Sequence[TargetPath], on_folder: Callable[[Folder], object] | None = None) -> Sequence[Found]:
    """Check many targets; fastest if those of one folder are adjacent.

    Uses many threads if each check waits for the disk.

    Args:
        targets: The targets.
        on_folder: Called with each of their folders that exists, while it is open; maybe several times, in any thread.
    """
    waiting, found = Waiting(), list[Found]()
    looks = _inspect_many(targets, on_folder)
    while len(found) < len(targets) and not waiting.is_long:
        found += waiting.measure(lambda: list(islice(looks, _LOOKS)))
    looks.close()
    rest = targets[len(found) :]
    share = max(1, -(-len(rest) // MANY_THREADS))
    shares = [rest[start : start + share] for start in range(0, len(rest), share)]
    threads = WorkerThreads("wbfiles-disk")
    try:
        others: list[Future[list[Found]]] = [
            threads.submit(partial(list, _inspect_many(each, on_folder))) for each in shares
        ]
    except ThreadsExhaustedError:
        return list(chain(found, _inspect_many(rest, on_folder)))
    finally:
        threads.close()
    return list(chain(found, *(other.result() for other in others)))


def _inspect_many(targets: Sequence[TargetPath], on_folder: Callable[[Folder], object] | None) -> Generator[Found]:
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
                    if on_folder is not None:
                        on_folder(folder)
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
    """Return the error of an obstacle, if it still exists and concerns the path."""
    try:
        return Found(exists(target))
    except UnsafePathError as error:
        return Found(True, error=error)
    except LocalWriteError as error:
        return Found(os.path.lexists(target.path), error=None if error.errno in _NO_DESCRIPTORS else error)
