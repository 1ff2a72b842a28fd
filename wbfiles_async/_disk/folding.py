"""Determines which folders treat names as equal that differ in case or the form of accents. Blocking.

That depends on the file system, its mount options, and on some (ext4, f2fs, tmpfs, NTFS) on the folder, so each
folder of a path is probed. New folders behave like their parent.
"""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from wbfiles_async._disk.folder import Folder
from wbfiles_async._disk.names import temporary_name
from wbfiles_async._disk.paths import local_name
from wbfiles_async._disk.system import open_root

_PROBE: Final = "Case-and-\N{LATIN SMALL LETTER E WITH ACUTE}"
_ENTRIES = 100
"""Maximum entries of a folder to check; most contain a letter."""
_KNOWN = 10_000
"""Maximum folders to cache."""


@attrs.define(eq=False)
class Folding:
    """Determines which folders below a root treat two names as equal.

    Args:
        root: The folder; it need not exist.
        may_write: Whether a probe file may be created briefly. Otherwise existing entries are checked, and an empty
            folder counts as one that distinguishes names.
    """

    root: Path
    may_write: bool
    _known: dict[tuple[str, ...], bool | None] = attrs.field(factory=dict, init=False)

    def folds(self, parts: Sequence[str]) -> bool:
        """Return whether any folder of this path treats two names as equal."""
        for depth in range(len(parts)):
            folder = tuple(parts[:depth])
            if folder not in self._known:
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[folder] = self._try(folder)
            found = self._known[folder]
            if found or found is None:
                return bool(found)
        return False

    def _try(self, parts: tuple[str, ...]) -> bool | None:
        """Return the behaviour of a folder; ``None`` if it does not exist and so will behave like its parent."""
        folder = _open(self.root, parts)
        if folder is None:
            return None if parts else self._above_root()
        try:
            return _does_fold(folder, may_write=self.may_write)
        finally:
            folder.close()

    def _above_root(self) -> bool:
        above = self.root
        while not os.path.lexists(above) and above != above.parent:
            above = above.parent
        folder = _open(above, ())
        if folder is None:
            return False
        try:
            return _does_fold(folder, may_write=self.may_write)
        finally:
            folder.close()


def _open(root: Path, parts: Sequence[str]) -> Folder | None:
    try:
        folder = open_root(root)
        for part in parts:
            above = folder
            try:
                folder = above.enter(local_name(part), create=False)
            finally:
                above.close()
    except OSError:
        return None
    return folder


def _does_fold(folder: Folder, *, may_write: bool) -> bool:
    if may_write:
        with suppress(OSError):  # then nothing can be written there, and the existing entries decide
            return _finds_probe(folder)
    with suppress(OSError):
        return any(_finds_others(folder, name) for name in folder.some_names(_ENTRIES))
    return False


def _finds_probe(folder: Folder) -> bool:
    name = local_name(temporary_name(_PROBE, secrets.token_hex(8)))
    file = folder.create(name)
    try:
        return _finds_others(folder, name)
    finally:
        with suppress(OSError):
            file.remove()


def _finds_others(folder: Folder, name: str) -> bool:
    """Return whether a name is also found by another spelling."""
    return any(_is_one(folder, name, other) for other in _variants(name))


def _variants(name: str) -> Iterator[str]:
    yield from {name.swapcase(), unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)} - {name}


def _is_one(folder: Folder, name: str, other: str) -> bool:
    with suppress(OSError, ValueError):
        return os.path.samestat(folder.status(name), folder.status(other))
    return False
