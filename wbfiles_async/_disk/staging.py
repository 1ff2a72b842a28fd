"""Private folders for the temporary files of a crowded folder, inside that folder. Blocking.

Linux locks a folder while a name in it is looked up, created, linked or removed, and waits for a network disk
meanwhile, so the files of one folder are created in turn. If their temporary files are in other folders, two calls for
each are left that need the lock: looking up the final name, and linking it.

A stage is a few such folders, and a file that its process keeps open. The stage of a dead process is recognised by
that file, as an unfinished download is (see ``resume``). All stages in a folder are in its folder ``STAGING_NAME``.
"""

from __future__ import annotations

import secrets
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import count
from typing import Final

import attrs

from wbfiles_async._disk.folder import Folder
from wbfiles_async._disk.journal import HEADER_BYTES, encode_header, parse_journal
from wbfiles_async._disk.names import STAGING_NAME, is_temporary, part_name
from wbfiles_async._disk.paths import TargetPath, local_name, open_folder
from wbfiles_async._disk.resume import Opened, header_for, is_dead

__all__ = ["Stage", "open_stage", "remove_dead_stages"]

FOLDERS: Final = 3
"""Folders of a stage: a file locks one of them for up to three calls, and the crowded folder for two."""

_of_this_process: Final = set[str]()
"""The names of the files of this process's stages, which need not be looked at."""

_one_looks: Final = threading.Lock()
"""Held while looking for dead stages: two threads that look at one would each take the other for its process."""


@attrs.define(eq=False)
class Stage:
    """Creates temporary files outside the crowded folder. ``remove`` it in the end."""

    _folders: Sequence[Folder]
    _undo: ExitStack
    _turns: Iterator[int] = attrs.field(factory=count, init=False)

    def create(self, final: str, folder: Folder) -> Opened:
        """Create the temporary file of ``final``. Any thread may call this.

        Args:
            final: The final name of the file.
            folder: The folder in which it will be published.

        Raises:
            OSError: It cannot be created.
        """
        name = part_name(final)
        chosen = self._folders[next(self._turns) % len(self._folders)]
        return Opened(chosen.create(local_name(name), folder), name)

    def remove(self) -> None:
        """Remove its folders, and the files that are left in them."""
        self._undo.close()


def open_stage(target: TargetPath) -> Stage:
    """Create a stage in the folder of a file, and remove those of dead processes.

    Raises:
        OSError: It cannot be created; nothing is left.
        UnsafePathError: A folder of the path is a link.
    """
    with ExitStack() as undo:
        folder = undo.enter_context(closing(open_folder(target, create=True)))
        remove_dead_stages(folder)
        with suppress(FileExistsError):
            folder.make(STAGING_NAME)
        undo.callback(_attempt, folder.remove_folder, STAGING_NAME)  # fails if another stage is in it
        around = undo.enter_context(closing(folder.enter(STAGING_NAME, create=False)))
        token = secrets.token_hex(8)
        _of_this_process.add(part_name(token))
        undo.callback(_of_this_process.discard, part_name(token))
        owner = around.create(part_name(token))
        undo.callback(_attempt, owner.remove)
        if not _is_private(around, owner.status().st_uid):
            raise PermissionError(f"others may write to {STAGING_NAME}")
        owner.write(encode_header(header_for(0, None, None)), 0)
        folders = []
        for name in (f"{token}-{number}" for number in range(FOLDERS)):
            around.make(name)
            undo.callback(_attempt, _remove_stage_folder, around, name)
            folders.append(undo.enter_context(closing(around.enter(name, create=False))))
        return Stage(folders, undo.pop_all())


def remove_dead_stages(folder: Folder) -> None:
    """Remove the stages of dead processes in a folder, as far as possible."""
    with suppress(OSError), closing(folder.enter(STAGING_NAME, create=False)) as around, _one_looks:
        names = {*around.some_names(sys.maxsize)}
        for name in filter(is_temporary, names - _of_this_process):
            with suppress(OSError):
                _remove_if_dead(around, name, [each for each in names if part_name(each.rpartition("-")[0]) == name])
        if _of_this_process.isdisjoint(names):
            folder.remove_folder(STAGING_NAME)


def _remove_if_dead(around: Folder, owner_name: str, folders: Sequence[str]) -> None:
    with closing(around.open(owner_name)) as owner:
        only_ours = owner.claim()
        journal = parse_journal(owner.read(HEADER_BYTES, 0))
        used = max((around.status(each).st_mtime for each in folders), default=0.0)
        if is_dead(owner, journal, only_ours=only_ours, used=used):
            for each in folders:
                _remove_stage_folder(around, each)
            owner.remove()


def _remove_stage_folder(around: Folder, name: str) -> None:
    try:
        around.remove_folder(name)
        return
    except OSError:  # something is in it
        pass
    with closing(around.enter(name, create=False)) as entered:
        for left in entered.some_names(sys.maxsize):
            entered.remove(left)
    around.remove_folder(name)


def _is_private(around: Folder, user: int) -> bool:
    """Return whether a folder, which another user may have created, belongs to this one and only it may write there."""
    status = around.status(".")
    return status.st_uid == user and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _attempt(work: Callable[..., object], *args: object) -> None:
    with suppress(OSError):
        work(*args)
