"""Decides of the files of a page what can be decided before any of them is worked on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import attrs

from wbfiles_async._models import Existing, FileAttributes, RunPath
from wbfiles_async._protocol.checksums import parse_md5
from wbfiles_async._protocol.collisions import Collision, Collisions
from wbfiles_async._transfer.places import Place, statuses
from wbfiles_async._transfer.remembered import Content, Remembered
from wbfiles_async._transfer.space import Need
from wbfiles_async.errors import WBFilesError


@attrs.frozen
class Listed:
    """Files of one run, as they were listed together.

    Attributes:
        run: The run, its entity known.
        files: The files.
        folder: Folders below the root that they go to, judged already.
        label: Stands before their names where progress is told of, to tell the files of several runs apart.
        error: Why the run's files, or the rest of them, could not be listed.
    """

    run: RunPath
    files: Sequence[FileAttributes]
    folder: tuple[str, ...] = ()
    label: str = ""
    error: WBFilesError | None = None


@attrs.define(eq=False)
class Item:
    """One file to download.

    Attributes:
        attributes: What the server says of it.
        place: Where it goes.
        listed: The files it was listed with.
        collision: What it collides with.
        taken: Whether something lies at its place.
        known: Whether that is known to be right.
        need: What it takes of the disk, as far as can be told without reading what is there.
    """

    attributes: FileAttributes
    place: Place
    listed: Listed
    collision: Collision | None = None
    taken: bool = False
    known: bool = False
    need: Need = attrs.field(factory=Need)

    @property
    def path(self) -> str:
        """The file's path below the root."""
        return "/".join(self.place.parts)


@attrs.define(eq=False)
class Survey:
    """Looks at the places of files, a page of them at a time. Blocking; run it through ``Disk``.

    Args:
        root: The folder they go below.
        existing: What is done with a file that is there.
        remembered: What is remembered of the files below the root.
    """

    _root: Path
    _existing: Existing
    _remembered: Remembered
    _collisions: Collisions = attrs.field(factory=lambda: Collisions(secrets.token_bytes(16)))

    def look(self, items: Sequence[Item]) -> None:
        """Fill in all but the first three attributes of each item."""
        places = [item.place for item in items]
        for item, collision in zip(items, self._collisions.admit([place.parts for place in places]), strict=True):
            item.collision = collision
        found = []
        for item, (taken, status) in zip(items, statuses(places), strict=True):
            found.append((item, status))
            item.taken = taken
            if not (item.taken and self._existing in ("keep", "error")):
                item.need = Need.of_file(item.attributes.size_bytes, status)
        if self._existing == "verify":
            self._recognise(found)

    def _recognise(self, found: Sequence[tuple[Item, os.stat_result | None]]) -> None:
        candidates, contents = [], []
        for item, status in found:
            md5 = parse_md5(item.attributes.md5)
            if status is not None and md5 is not None and item.attributes.size_bytes in (None, status.st_size):
                candidates.append(item)
                contents.append(Content(item.path, status, md5))
        for item, known in zip(candidates, self._remembered.known(contents), strict=True):
            item.known = known
            if known:
                item.need = Need()
