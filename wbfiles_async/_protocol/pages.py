"""Walk through the pages of a run's files, and notice a server that leads in circles. Performs no I/O."""

from __future__ import annotations

from typing import Final

import attrs

from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async._protocol.files_page import FilesPage
from wbfiles_async.errors import ApiError

__all__ = ["Pages"]

# A file shows up twice when others are added or removed while we page, and then near to its first
# place. Remembering the ids of a million files would take 100 MB; this many take 1 MB.
_REMEMBERED_IDS: Final = 10_000
# Every page brings a file, but for a few while files are removed; the server's count may be out of date.
_SPARE_PAGES: Final = 1_000
_MOST_BARREN_PAGES: Final = 100
# For a server that does not count: a run of ten million files at one file a page.
_MOST_PAGES_UNCOUNTED: Final = 10_000_000


@attrs.define
class Pages:
    """Where a walk through the pages of one listing stands.

    Ask with `variables`, give the page that came to `accept`, until `done`.

    Attributes:
        run: The run, its entity known.
        per_page: Files to ask for at a time; may be changed on the way.
        names: Ask for the files of these names only.
        pattern: Ask for the files whose names are LIKE this; not together with ``names``.
        done: Whether all pages have been accepted.
    """

    run: RunPath
    per_page: int
    names: tuple[str, ...] = ()
    pattern: str | None = None
    done: bool = attrs.field(default=False, init=False)
    _cursor: str | None = attrs.field(default=None, init=False)
    # One short text a page: a megabyte for a million files at the usual page size.
    _cursors: set[str] = attrs.field(factory=set, init=False, repr=False)
    _pages: int = attrs.field(default=0, init=False)
    _listed: int = attrs.field(default=0, init=False)
    _counted: int | None = attrs.field(default=None, init=False)
    _barren: int = attrs.field(default=0, init=False)
    _recent_ids: dict[str, None] = attrs.field(factory=dict, init=False, repr=False)

    def variables(self) -> dict[str, object]:
        """Return the variables of the `RUN_FILES` query for the next page."""
        return {
            "project": self.run.project,
            "entity": self.run.entity,
            "name": self.run.run_id,
            "fileCursor": self._cursor,
            "fileLimit": self.per_page,
            "fileNames": list(self.names),
            "pattern": self.pattern,
        }

    def accept(self, page: FilesPage) -> tuple[FileAttributes, ...]:
        """Take the page that was asked for, and return its files without those seen shortly before.

        Raises:
            ApiError: The server says that there are more pages but gives no way to them.
        """
        self._pages += 1
        fresh = tuple(file for file in page.files if self._is_new(file))
        self._listed += len(fresh)
        self._counted = page.file_count
        self._barren = 0 if fresh else self._barren + 1
        if page.has_next:
            self._advance(page)
        else:
            self.done = True
        return fresh

    @property
    def missing(self) -> int:
        """Files that the server counts and did not list, after the last page; 0 where not all were asked for."""
        if self.names or self.pattern is not None or self._counted is None:
            return 0
        return max(0, self._counted - self._listed)

    def _is_new(self, file: FileAttributes) -> bool:
        identity = file.id or file.name
        if identity in self._recent_ids:
            return False
        self._recent_ids[identity] = None
        if len(self._recent_ids) > _REMEMBERED_IDS:
            del self._recent_ids[next(iter(self._recent_ids))]
        return True

    def _advance(self, page: FilesPage) -> None:
        cursor = page.end_cursor
        if cursor is None:
            raise self._lost("the server says that there are more, and gives no cursor to them")
        if cursor in self._cursors:
            raise self._lost("the server gave the same cursor twice")
        known = _MOST_PAGES_UNCOUNTED if page.file_count is None else page.file_count
        if self._pages >= known + _SPARE_PAGES or self._barren >= _MOST_BARREN_PAGES:
            raise self._lost(f"after {self._pages} pages the server still says that there are more")
        self._cursors.add(cursor)
        self._cursor = cursor

    def _lost(self, reason: str) -> ApiError:
        return ApiError(f"the files of {self.run} cannot be listed to the end: {reason}", status=200)
