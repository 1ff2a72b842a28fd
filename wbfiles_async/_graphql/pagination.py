"""Follows the pages of a listing, and detects circular pages. Performs no I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Final, Generic, Protocol, TypeVar

import attrs

from wbfiles_async._graphql.files_page import FilesPage
from wbfiles_async._graphql.page_end import PageEnd
from wbfiles_async._graphql.projects_page import ListedProject, ProjectsPage
from wbfiles_async._graphql.runs_page import ListedRun, RunsPage
from wbfiles_async._models import FileAttributes, ProjectPath, RunPath
from wbfiles_async.errors import ApiError

__all__ = ["Pages", "ProjectPages", "RunPages", "Walk"]

# A file or run appears twice if others are added or removed while paging, and then close to its first position. The
# ids of a million files would take 100 MB; this many take 1 MB.
_REMEMBERED_IDS: Final = 10_000
# Every page has new items, except a few while items are removed; the server's count may be outdated.
_SPARE_PAGES: Final = 1_000
_MOST_BARREN_PAGES: Final = 100
# For a server that does not count: a run of ten million files at one file a page.
_MOST_PAGES_UNCOUNTED: Final = 10_000_000


class _AnyPage(Protocol):
    """The common interface of pages."""

    @property
    def end(self) -> PageEnd:
        """Its end."""
        ...

    @property
    def skipped(self) -> int:
        """Entries that could not be read."""
        ...


Page = TypeVar("Page", bound=_AnyPage)
Item = TypeVar("Item")


@attrs.define
class Walk(ABC, Generic[Page, Item]):
    """A walk through one listing of any kind.

    Query with `variables` and pass the end of each page to `advance`, until `done`; and each page, in order, to
    `take`, possibly later.

    Attributes:
        per_page: Items per request; may be changed in between.
        done: Whether the last page has been received.
        place: The keys of a response's data under which it has the listing.
        unreadable: The name of skipped entries, for messages.
    """

    place: ClassVar[tuple[str, ...]]
    unreadable: ClassVar[str]

    per_page: int = attrs.field(kw_only=True)
    done: bool = attrs.field(default=False, init=False)
    _cursor: str | None = attrs.field(default=None, init=False)
    # One short text per page: a megabyte for a million files at the usual page size.
    _cursors: set[str] = attrs.field(factory=set, init=False, repr=False)
    _pages: int = attrs.field(default=0, init=False)
    _taken: int = attrs.field(default=0, init=False)
    _listed: int = attrs.field(default=0, init=False)
    _counted: int | None = attrs.field(default=None, init=False)
    _barren: int = attrs.field(default=0, init=False)
    _recent: dict[str, None] = attrs.field(factory=dict, init=False, repr=False)

    @property
    @abstractmethod
    def _what(self) -> str:
        """What is listed, for messages."""

    @abstractmethod
    def _items(self, page: Page) -> Iterable[tuple[str, Item]]:
        """Return a page's items with their identities."""

    @abstractmethod
    def _count(self, page: Page) -> int | None:
        """Return the number of items of all pages, if the server states it."""

    @abstractmethod
    def variables(self) -> dict[str, object]:
        """Return the variables of the query for the next page."""

    @property
    def size(self) -> int:
        """Items per request."""
        return self.per_page

    def shrink(self, size: int) -> None:
        """Limit the items per request from now on."""
        self.per_page = min(self.per_page, size)

    def advance(self, end: PageEnd) -> None:
        """Proceed to the page after this end.

        Raises:
            ApiError: The server states that there are more pages but gives no usable cursor.
        """
        self._pages += 1
        if end.has_next:
            self._advance(end.cursor)
        else:
            self.done = True

    def take(self, page: Page) -> tuple[Item, ...]:
        """Return a page's items without recent duplicates."""
        self._taken += 1
        fresh = tuple(item for identity, item in self._items(page) if self._is_new(identity))
        self._listed += len(fresh)
        self._counted = self._count(page)
        self._barren = 0 if fresh else self._barren + 1
        return fresh

    def accept(self, page: Page) -> tuple[Item, ...]:
        """Take a page, and proceed to the next one.

        Raises:
            ApiError: As ``advance`` does.
        """
        items = self.take(page)
        self.advance(page.end)
        return items

    def _is_new(self, identity: str) -> bool:
        if identity in self._recent:
            return False
        self._recent[identity] = None
        if len(self._recent) > _REMEMBERED_IDS:
            del self._recent[next(iter(self._recent))]
        return True

    def _advance(self, cursor: str | None) -> None:
        if cursor is None:
            raise self._lost("the server states that more follow, but returns no cursor")
        if cursor in self._cursors:
            raise self._lost("the server gave the same cursor twice")
        known = _MOST_PAGES_UNCOUNTED if self._counted is None else self._counted
        if self._pages >= known + _SPARE_PAGES or self._barren >= _MOST_BARREN_PAGES:
            raise self._lost(f"after {self._pages} pages the server still says that there are more")
        self._cursors.add(cursor)
        self._cursor = cursor

    def _lost(self, reason: str) -> ApiError:
        return ApiError(f"{self._what} cannot be listed to the end: {reason}", status=200)


@attrs.define
class Pages(Walk[FilesPage, FileAttributes]):
    """A walk through the files of one run, by the query `RUN_FILES`.

    Attributes:
        run: The run, its entity known.
        names: Only the files of these names.
        pattern: Only the files whose names are LIKE this; not together with ``names``.
        urls: Whether their URLs are needed.
    """

    place = ("project", "run", "files")
    unreadable = "files without a name"

    run: RunPath
    names: tuple[str, ...] = ()
    pattern: str | None = None
    urls: bool = True

    def __str__(self) -> str:
        return str(self.run)

    def variables(self) -> dict[str, object]:
        """Return the variables of the query for the next page."""
        return {
            "project": self.run.project,
            "entity": self.run.entity,
            "name": self.run.run_id,
            "fileCursor": self._cursor,
            "fileLimit": self.per_page,
            "fileNames": list(self.names),
            "pattern": self.pattern,
        }

    @property
    def missing(self) -> int:
        """Files that the server counted but did not list, after the last page; 0 if not all were requested."""
        is_complete = self.done and self._taken == self._pages
        if not is_complete or self._counted is None or self.names or self.pattern is not None:
            return 0
        return max(0, self._counted - self._listed)

    @property
    def _what(self) -> str:
        return f"the files of {self.run}"

    def _items(self, page: FilesPage) -> Iterable[tuple[str, FileAttributes]]:
        return ((file.id or file.name, file) for file in page.files)

    def _count(self, page: FilesPage) -> int | None:
        return page.file_count


@attrs.define
class RunPages(Walk[RunsPage, ListedRun]):
    """A walk through the runs of one project, by the query `RUNS`, or `RUNS_WITH_FILES` if files are needed.

    Attributes:
        project: The project, its entity known.
        filters: The filters, as JSON.
        order: The order.
        files_each: Files to request with each run; 0 for only the runs. May be changed in between.
        names: Only the files of these names.
        pattern: Only the files whose names are LIKE this; not together with ``names``.
        urls: Whether the files' URLs are needed.
        counts: Whether the number of each run's files is needed, without the files.
    """

    place = ("project", "runs")
    unreadable = "runs without an id"

    project: ProjectPath
    filters: str
    order: str
    files_each: int = 0
    names: tuple[str, ...] = ()
    pattern: str | None = None
    urls: bool = True
    counts: bool = False

    def __str__(self) -> str:
        return str(self.project)

    @property
    def size(self) -> int:
        """Runs per request, or files if those are requested."""
        return self.per_page * max(1, self.files_each)

    def shrink(self, size: int) -> None:
        """Limit the runs or files per request from now on."""
        self.per_page = min(self.per_page, size)
        self.files_each = min(self.files_each, max(1, size // self.per_page))

    def variables(self) -> dict[str, object]:
        """Return the variables of the query for the next page."""
        variables: dict[str, object] = {
            "project": self.project.project,
            "entity": self.project.entity,
            "filters": self.filters,
            "order": self.order,
            "cursor": self._cursor,
            "perPage": self.per_page,
        }
        if self.files_each:
            variables |= {"fileLimit": self.files_each, "fileNames": list(self.names), "pattern": self.pattern}
        return variables

    @property
    def _what(self) -> str:
        return f"the runs of {self.project}"

    def _items(self, page: RunsPage) -> Iterable[tuple[str, ListedRun]]:
        return ((run.path.run_id, run) for run in page.runs)

    def _count(self, page: RunsPage) -> int | None:
        return page.run_count


@attrs.define
class ProjectPages(Walk[ProjectsPage, ListedProject]):
    """A walk through the projects of one entity, by the query `PROJECTS`.

    Attributes:
        entity: The user or team.
    """

    place = ("models",)
    unreadable = "projects without a name"

    entity: str

    def __str__(self) -> str:
        return self.entity

    def variables(self) -> dict[str, object]:
        """Return the variables of the query for the next page."""
        return {"entity": self.entity, "cursor": self._cursor, "perPage": self.per_page}

    @property
    def _what(self) -> str:
        return f"the projects of {self.entity}"

    def _items(self, page: ProjectsPage) -> Iterable[tuple[str, ListedProject]]:
        return ((project.path.project, project) for project in page.projects)

    def _count(self, page: ProjectsPage) -> int | None:
        return None
