"""Plans the files of a page: what can be decided before any of them is downloaded."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import attrs

from wbfiles_async._download.collisions import Collisions
from wbfiles_async._download.planned import ListedFiles, PlannedFile
from wbfiles_async._download.results import failed
from wbfiles_async._download.selection import Selection
from wbfiles_async._models import Existing, FileAttributes, FileResult
from wbfiles_async._protocol.checksums import parse_md5
from wbfiles_async._transfer.places import place_for, statuses
from wbfiles_async._transfer.remembered import Content, Remembered
from wbfiles_async._transfer.space import Need
from wbfiles_async.errors import UnsafePathError, WBFilesError


@attrs.define(eq=False)
class Planner:
    """Plans the files of each page. Blocking; run it through ``Disk``.

    Args:
        root: The folder they go below.
        selection: Which files are wanted.
        existing: What is done with a file that is there.
        remembered: What is remembered of the files below the root.
    """

    _root: Path
    _selection: Selection
    _existing: Existing
    _remembered: Remembered
    _collisions: Collisions = attrs.field(factory=lambda: Collisions(secrets.token_bytes(16)))

    def plan_page(self, page: Sequence[ListedFiles]) -> tuple[list[PlannedFile], list[FileResult]]:
        """Plan the wanted files of a page.

        Returns:
            The files to download, and the failures of those that are refused or could not be listed.
        """
        items, refused = list[PlannedFile](), list[FileResult]()
        for listed in page:
            for attributes in filter(self._is_wanted, listed.files):
                try:
                    items.append(PlannedFile(attributes, place_for(self._root, attributes.name, listed.folder), listed))
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
        self._look(admitted)
        return admitted, refused

    def _is_wanted(self, attributes: FileAttributes) -> bool:
        return self._selection.accepts(attributes.name)

    def _look(self, items: Sequence[PlannedFile]) -> None:
        places = [item.place for item in items]
        found = []
        for item, (taken, status) in zip(items, statuses(places), strict=True):
            found.append((item, status))
            item.taken = taken
            if not (item.taken and self._existing in ("keep", "error")):
                item.need = Need.of_file(item.attributes.size_bytes, status)
        if self._existing == "verify":
            self._recognise(found)

    def _recognise(self, found: Sequence[tuple[PlannedFile, os.stat_result | None]]) -> None:
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


def _unplaced(listed: ListedFiles, error: WBFilesError, attributes: FileAttributes | None = None) -> FileResult:
    name, size = (attributes.name, attributes.size_bytes) if attributes else ("", 0)
    return FileResult(name=name, status="failed", size=size or 0, run=str(listed.run), error=error)
