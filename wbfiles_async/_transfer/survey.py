"""Decides of the files of a page what can be decided before any of them is worked on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from wbfiles_async._models import Existing, FileAttributes, FileResult, RunPath
from wbfiles_async._protocol.checksums import parse_md5
from wbfiles_async._protocol.collisions import Collisions
from wbfiles_async._protocol.selection import Selection
from wbfiles_async._settings import TransferOptions
from wbfiles_async._transfer.folding import Folding
from wbfiles_async._transfer.looking import look_at
from wbfiles_async._transfer.places import Place, place_for, refusal_of
from wbfiles_async._transfer.refusals import local_failure
from wbfiles_async._transfer.remembered import Content, Remembered
from wbfiles_async._transfer.space import Need
from wbfiles_async.errors import UnsafePathError, WBFilesError


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
        taken: Whether something lies at its place.
        known: Whether that is known to be right.
        need: What it takes of the disk, as far as can be told without reading what is there.
    """

    attributes: FileAttributes
    place: Place
    listed: Listed
    taken: bool = False
    known: bool = False
    need: Need = attrs.field(factory=Need)

    @property
    def path(self) -> str:
        """The file's path below the root."""
        return "/".join(self.place.parts)


def need_of(items: Iterable[Item]) -> Need:
    """Add up what files need."""
    return sum((item.need for item in items), Need())


def failed(item: Item, error: WBFilesError) -> FileResult:
    """Say that a file could not be downloaded."""
    return FileResult(
        name=item.attributes.name,
        status="failed",
        path=item.place.path,
        size=item.attributes.size_bytes or 0,
        run=str(item.listed.run),
        error=error,
    )


@attrs.define(eq=False)
class Survey:
    """Decides of the files of a page. Blocking; run it through ``Disk``.

    Args:
        root: The folder they go below.
        selection: Which files are wanted.
        existing: What is done with a file that is there.
        remembered: What is remembered of the files below the root.
        options: How transfers behave.
        dry_run: Whether nothing may be written.
    """

    _root: Path
    _selection: Selection
    _existing: Existing
    _remembered: Remembered
    _options: TransferOptions
    _dry_run: bool
    _collisions: Collisions = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        folding = Folding(self._root, may_write=not self._dry_run)
        self._collisions = Collisions(secrets.token_bytes(16), folding.folds)

    def arrange(self, page: Sequence[Listed]) -> tuple[list[Item], list[FileResult]]:
        """Find the wanted files, and all that can be told of each before it is worked on.

        Returns:
            The files to work on, and the failures of those that are refused or could not be listed.
        """
        items, refused = list[Item](), list[FileResult]()
        for listed in page:
            for attributes in filter(self._is_wanted, listed.files):
                try:
                    items.append(Item(attributes, self._place(attributes.name, listed.folder), listed))
                except UnsafePathError as error:
                    refused.append(_unplaced(listed, error, attributes))
            if listed.error is not None:
                refused.append(_unplaced(listed, listed.error))
        collisions = self._collisions.admit([item.place.parts for item in items])
        admitted = []
        for item, collision in zip(items, collisions, strict=True):
            if collision is None:
                admitted.append(item)
            else:
                refused.append(failed(item, collision.error(item.attributes.name)))
        free, obstructed = self._look(admitted)
        return free, refused + obstructed

    def _place(self, name: str, folder: tuple[str, ...]) -> Place:
        return place_for(self._root, name, folder, portable=self._options.portable_names)

    def _is_wanted(self, attributes: FileAttributes) -> bool:
        return self._selection.accepts(attributes.name)

    def _look(self, items: Sequence[Item]) -> tuple[list[Item], list[FileResult]]:
        """Look at the places; returns the files that may go there, and the failures of those that cannot."""
        found: list[tuple[Item, os.stat_result | None]] = []
        refused: list[FileResult] = []
        for item, there in zip(items, look_at(item.place for item in items), strict=True):
            if there.error is not None:
                refused.append(failed(item, there.error))
                continue
            found.append((item, there.status))
            item.taken = there.taken
            if not (item.taken and self._existing in ("keep", "error")):
                item.need = Need.of_file(item.attributes.size_bytes, there.status)
        if self._existing == "verify":
            self._recognise(found)
        if self._dry_run:
            return [item for item, _ in found], refused
        return self._writable(found, refused), refused

    def _writable(self, found: Sequence[tuple[Item, os.stat_result | None]], refused: list[FileResult]) -> list[Item]:
        """Leave out files that must be written to folders that cannot be."""
        writable = list[Item]()
        refusals: dict[tuple[str, ...], OSError | None] = {}
        for item, status in found:
            if self._is_to_write(item, status):
                folder = item.place.parts[:-1]
                if folder not in refusals:
                    refusals[folder] = refusal_of(item.place.path.parent)
                if (refusal := refusals[folder]) is not None:
                    refused.append(failed(item, local_failure(refusal, item.place.path)))
                    continue
            writable.append(item)
        return writable

    def _is_to_write(self, item: Item, status: os.stat_result | None) -> bool:
        """Return whether the file is sure to be written, as far as can be told without reading what is there."""
        if not item.taken or self._existing == "replace":
            return True
        if self._existing != "verify" or status is None or item.known:
            return False
        return item.attributes.size_bytes not in (None, status.st_size)

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


def _unplaced(listed: Listed, error: WBFilesError, attributes: FileAttributes | None = None) -> FileResult:
    name, size = (attributes.name, attributes.size_bytes) if attributes else ("", 0)
    return FileResult(name=name, status="failed", size=size or 0, run=str(listed.run), error=error)
