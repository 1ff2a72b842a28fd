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

from wbfiles_async._disk.executor import in_new_thread
from wbfiles_async._disk.paths import Place, exists, open_folder
from wbfiles_async._threads import MANY_THREADS, Waiting
from wbfiles_async.errors import LocalWriteError, UnsafePathError, WBFilesError

_LOOKS = 4
"""Places that are looked at together to see how long the disk takes."""

_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}


@attrs.frozen
class Found:
    """What is at a place.

    Attributes:
        taken: Whether anything is.
        status: That of a regular file that can be reached without following links.
        error: Why no file can go there.
    """

    taken: bool = False
    status: os.stat_result | None = None
    error: WBFilesError | None = None


def look_at(places: Sequence[Place]) -> Sequence[Found]:
    """Look at many places; quickest where those of one folder follow one another.

    In many threads where each look has to wait for the disk.
    """
    waiting, found = Waiting(), list[Found]()
    looks = _look_at(places)
    while len(found) < len(places) and not waiting.is_long:
        found += waiting.measure(lambda: list(islice(looks, _LOOKS)))
    looks.close()
    rest = places[len(found) :]
    share = max(1, -(-len(rest) // MANY_THREADS))
    shares = [rest[start : start + share] for start in range(0, len(rest), share)]
    others: list[Future[list[Found]]] = [in_new_thread(partial(list, _look_at(each))) for each in shares]
    return list(chain(found, *(other.result() for other in others)))


def _look_at(places: Sequence[Place]) -> Generator[Found]:
    folder, opened, is_missing = -1, None, False
    try:
        for place in places:
            if opened != (above := (place.root, place.parts[:-1])):
                if folder >= 0:
                    os.close(folder)
                folder, opened, is_missing = -1, above, False
                try:
                    folder = open_folder(place, create=False)
                except FileNotFoundError:
                    is_missing = True
                except (OSError, UnsafePathError):
                    pass
            if is_missing:
                yield Found()
            elif folder < 0:
                yield _obstacle(place)
            else:
                yield _look_into(place, folder)
    finally:
        if folder >= 0:
            os.close(folder)


def _look_into(place: Place, folder: int) -> Found:
    try:
        status = os.stat(place.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return Found()
    except OSError:
        return _obstacle(place)
    return Found(True, status) if stat.S_ISREG(status.st_mode) else _obstacle(place)


def _obstacle(place: Place) -> Found:
    """Say what is in the way of a file, if it still is, and if it has to do with the place."""
    try:
        return Found(exists(place))
    except UnsafePathError as error:
        return Found(True, error=error)
    except LocalWriteError as error:
        return Found(os.path.lexists(place.path), error=None if error.errno in _NO_DESCRIPTORS else error)
