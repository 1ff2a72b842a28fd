"""Plans the files of a page: all checks before the downloads."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import attrs

from wbfiles_async._disk.errors import local_failure
from wbfiles_async._disk.folding import Folding
from wbfiles_async._disk.inspection import inspect_many
from wbfiles_async._disk.paths import TargetPath, refusal_of, target_below
from wbfiles_async._disk.space import SpaceNeeded
from wbfiles_async._disk.staging import remove_dead_stages
from wbfiles_async._disk.verified_cache import VerifiedFile, VerifiedFileCache
from wbfiles_async._download.collisions import Collisions
from wbfiles_async._download.planned import ListedFiles, PlannedFile
from wbfiles_async._download.results import failed
from wbfiles_async._download.selection import Selection
from wbfiles_async._md5 import parse_md5
from wbfiles_async._models import Existing, FileAttributes
from wbfiles_async._options import TransferOptions
from wbfiles_async._reports import FileResult
from wbfiles_async.errors import UnsafePathError, WBFilesError


@attrs.define(eq=False)
class Planner:
    """Plans the files of each page. Blocking; run it through ``Disk``.

    Args:
        root: The root.
        selection: A selection of files.
        existing: What to do with an existing file.
        verified_files: The cache of verified files.
        options: How transfers behave.
        dry_run: Whether nothing may be written.
    """

    _root: Path
    _selection: Selection
    _existing: Existing
    _verified_files: VerifiedFileCache
    _options: TransferOptions
    _dry_run: bool
    _collisions: Collisions = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        folding = Folding(self._root, may_write=not self._dry_run)
        self._collisions = Collisions(secrets.token_bytes(16), folding.folds)

    def plan_page(self, page: Sequence[ListedFiles]) -> tuple[list[PlannedFile], list[FileResult]]:
        """Plan the selected files of a page.

        Returns:
            The files to download, and the failures of those that are refused or could not be listed.
        """
        items, refused = list[PlannedFile](), list[FileResult]()
        for listed in page:
            for attributes in filter(self._is_wanted, listed.files):
                try:
                    place = attributes.name.removeprefix(listed.within)
                    items.append(PlannedFile(attributes, self._target(place, listed.folder), listed))
                except UnsafePathError as error:
                    refused.append(_unplaced(listed, error, attributes))
            if listed.error is not None:
                refused.append(_unplaced(listed, listed.error))
        collisions = self._collisions.admit([item.target.parts for item in items])
        admitted = []
        for item, collision in zip(items, collisions, strict=True):
            if collision is None:
                admitted.append(item)
            else:
                refused.append(failed(item, collision.error(item.attributes.name)))
        free, obstructed = self._look(admitted)
        return free, refused + obstructed

    def _target(self, name: str, folder: tuple[str, ...]) -> TargetPath:
        return target_below(self._root, name, folder, portable=self._options.portable_names)

    def _is_wanted(self, attributes: FileAttributes) -> bool:
        return self._selection.accepts(attributes.name)

    def _look(self, items: Sequence[PlannedFile]) -> tuple[list[PlannedFile], list[FileResult]]:
        """Check the target paths; return the files that can be written, and the failures of the others."""
        found: list[tuple[PlannedFile, os.stat_result | None]] = []
        refused: list[FileResult] = []
        looks = inspect_many([item.target for item in items], None if self._dry_run else remove_dead_stages)
        for item, there in zip(items, looks, strict=True):
            if there.error is not None:
                refused.append(failed(item, there.error))
                continue
            found.append((item, there.status))
            item.taken = there.taken
            if not (item.taken and self._existing in ("keep", "error")):
                item.need = SpaceNeeded.of_file(item.attributes.size_bytes, there.status)
        if self._existing == "verify":
            self._recognise(found)
        if self._dry_run:
            return [item for item, _ in found], refused
        return self._writable(found, refused), refused

    def _writable(
        self, found: Sequence[tuple[PlannedFile, os.stat_result | None]], refused: list[FileResult]
    ) -> list[PlannedFile]:
        """Skip files that must be written to unwritable folders."""
        writable = list[PlannedFile]()
        refusals: dict[tuple[str, ...], OSError | None] = {}
        for item, status in found:
            if self._is_to_write(item, status):
                folder = item.target.parts[:-1]
                if folder not in refusals:
                    refusals[folder] = refusal_of(item.target.path.parent)
                if (refusal := refusals[folder]) is not None:
                    refused.append(failed(item, local_failure(refusal, item.target.path)))
                    continue
            writable.append(item)
        return writable

    def _is_to_write(self, item: PlannedFile, status: os.stat_result | None) -> bool:
        """Return whether the file will certainly be written, as far as known without reading existing files."""
        if not item.taken or self._existing == "replace":
            return True
        if self._existing != "verify" or status is None or item.known:
            return False
        return item.attributes.size_bytes not in (None, status.st_size)

    def _recognise(self, found: Sequence[tuple[PlannedFile, os.stat_result | None]]) -> None:
        candidates, contents = [], []
        for item, status in found:
            md5 = parse_md5(item.attributes.md5)
            if status is not None and md5 is not None and item.attributes.size_bytes in (None, status.st_size):
                candidates.append(item)
                contents.append(VerifiedFile(item.path, status, md5))
        for item, known in zip(candidates, self._verified_files.known(contents), strict=True):
            item.known = known
            if known:
                item.need = SpaceNeeded()


def _unplaced(listed: ListedFiles, error: WBFilesError, attributes: FileAttributes | None = None) -> FileResult:
    name, size = (attributes.name, attributes.size_bytes) if attributes else ("", 0)
    return FileResult(name=name, status="failed", size=size or 0, run=str(listed.run), error=error)
