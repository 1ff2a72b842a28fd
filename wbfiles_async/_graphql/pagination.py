"""Walk through the pages of a listing, and notice a server that leads in circles. Performs no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, TypeVar

import attrs

from wbfiles_async._graphql.files_page import FilesPage
from wbfiles_async._graphql.projects_page import ListedProject, ProjectsPage
from wbfiles_async._graphql.runs_page import ListedRun, RunsPage
from wbfiles_async._models import FileAttributes, ProjectPath, RunPath
from wbfiles_async.errors import ApiError

__all__ = ["Pages", "ProjectPages", "RunPages"]

# A file or a run shows up twice when others are added or removed while we page, and then near to its first
# place. Remembering the ids of a million files would take 100 MB; this many take 1 MB.
_REMEMBERED_IDS: Final = 10_000
# Every page brings something, but for a few while things are removed; the server's count may be out of date.
_SPARE_PAGES: Final = 1_000
_MOST_BARREN_PAGES: Final = 100
# For a server that does not count: a run of ten million files at one file a page.
_MOST_PAGES_UNCOUNTED: Final = 10_000_000


Item = TypeVar("Item")


@attrs.define
class _Trail(Generic[Item]):
    """The state of a walk through one listing, whatever it lists.

    Attributes:
        what: What is listed, for messages.
        cursor: Where the next page begins.
        done: Whether all pages have been taken.
    """

    what: str
    cursor: str | None = None
    done: bool = False
    # One short text a page: a megabyte for a million files at the usual page size.
    _cursors: set[str] = attrs.field(factory=set, repr=False)
    _pages: int = 0
    _listed: int = 0
    _counted: int | None = None
    _barren: int = 0
    _recent: dict[str, None] = attrs.field(factory=dict, repr=False)

    def take(
        self, items: Iterable[tuple[str, Item]], *, end_cursor: str | None, has_next: bool, count: int | None
    ) -> tuple[Item, ...]:
        """Take a page, and return its items without those seen shortly before.

        Args:
            items: Each with what identifies it.
            end_cursor: Where the next page begins.
            has_next: Whether the server says that there are more.
            count: Items of all pages, as far as the server states it.

        Raises:
            ApiError: The server says that there are more pages but gives no way to them.
        """
        self._pages += 1
        fresh = tuple(item for identity, item in items if self._is_new(identity))
        self._listed += len(fresh)
        self._counted = count
        self._barren = 0 if fresh else self._barren + 1
        if has_next:
            self._advance(end_cursor, count)
        else:
            self.done = True
        return fresh

    @property
    def missing(self) -> int:
        """Items that the server counts and did not list, after the last page."""
        return max(0, self._counted - self._listed) if self.done and self._counted is not None else 0

    def _is_new(self, identity: str) -> bool:
        if identity in self._recent:
            return False
        self._recent[identity] = None
        if len(self._recent) > _REMEMBERED_IDS:
            del self._recent[next(iter(self._recent))]
        return True

    def _advance(self, cursor: str | None, count: int | None) -> None:
        if cursor is None:
            raise self._lost("the server says that there are more, and gives no cursor to them")
        if cursor in self._cursors:
            raise self._lost("the server gave the same cursor twice")
        known = _MOST_PAGES_UNCOUNTED if count is None else count
        if self._pages >= known + _SPARE_PAGES or self._barren >= _MOST_BARREN_PAGES:
            raise self._lost(f"after {self._pages} pages the server still says that there are more")
        self._cursors.add(cursor)
        self.cursor = cursor

    def _lost(self, reason: str) -> ApiError:
        return ApiError(f"{self.what} cannot be listed to the end: {reason}", status=200)


@attrs.define
class Pages:
    """A walk through the files of one run.

    Query with `variables` and pass each page to `accept`, until `done`.

    Attributes:
        run: The run, its entity known.
        per_page: Files to request at a time; may be changed in between.
        names: Only the files of these names.
        pattern: Only the files whose names are LIKE this; not together with ``names``.
        urls: Whether their URLs are wanted.
    """

    run: RunPath
    per_page: int
    names: tuple[str, ...] = ()
    pattern: str | None = None
    urls: bool = True
    _trail: _Trail[FileAttributes] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._trail = _Trail(f"the files of {self.run}")

    @property
    def done(self) -> bool:
        """Whether all pages have been accepted."""
        return self._trail.done

    def __str__(self) -> str:
        return str(self.run)

    @property
    def size(self) -> int:
        """Files to request at a time."""
        return self.per_page

    def shrink(self, size: int) -> None:
        """Request at most so many files at a time from now on."""
        self.per_page = min(self.per_page, size)

    def variables(self) -> dict[str, object]:
        """Return the variables of the `RUN_FILES` query for the next page."""
        return {
            "project": self.run.project,
            "entity": self.run.entity,
            "name": self.run.run_id,
            "fileCursor": self._trail.cursor,
            "fileLimit": self.per_page,
            "fileNames": list(self.names),
            "pattern": self.pattern,
        }

    def accept(self, page: FilesPage) -> tuple[FileAttributes, ...]:
        """Take the requested page, and return its files without those seen shortly before.

        Raises:
            ApiError: The server says that there are more pages but gives no way to them.
        """
        return self._trail.take(
            ((file.id or file.name, file) for file in page.files),
            end_cursor=page.end_cursor,
            has_next=page.has_next,
            count=page.file_count,
        )

    @property
    def missing(self) -> int:
        """Files that the server counts and did not list, after the last page; 0 if not all were requested."""
        return 0 if self.names or self.pattern is not None else self._trail.missing


@attrs.define
class RunPages:
    """A walk through the runs of one project.

    Query with `variables` and pass each page to `accept`, until `done`.

    Attributes:
        project: The project, its entity known.
        filters: Which runs, as JSON.
        order: In which order.
        per_page: Runs to request at a time; may be changed in between.
        files_each: Files to request with each run; 0 for the runs alone. May be changed in between.
        names: Only the files of these names.
        pattern: Only the files whose names are LIKE this; not together with ``names``.
        urls: Whether the files' URLs are wanted.
        counts: Whether the number of each run's files is wanted, where no files are.
    """

    project: ProjectPath
    filters: str
    order: str
    per_page: int
    files_each: int = 0
    names: tuple[str, ...] = ()
    pattern: str | None = None
    urls: bool = True
    counts: bool = False
    _trail: _Trail[ListedRun] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._trail = _Trail(f"the runs of {self.project}")

    @property
    def done(self) -> bool:
        """Whether all pages have been accepted."""
        return self._trail.done

    def __str__(self) -> str:
        return str(self.project)

    @property
    def size(self) -> int:
        """Runs to request at a time, or files where those are wanted."""
        return self.per_page * max(1, self.files_each)

    def shrink(self, size: int) -> None:
        """Request at most so many runs or files at a time from now on."""
        self.per_page = min(self.per_page, size)
        self.files_each = min(self.files_each, max(1, size // self.per_page))

    def variables(self) -> dict[str, object]:
        """Return the variables of the query for the next page: `RUNS`, or `RUNS_WITH_FILES` where files are wanted."""
        variables: dict[str, object] = {
            "project": self.project.project,
            "entity": self.project.entity,
            "filters": self.filters,
            "order": self.order,
            "cursor": self._trail.cursor,
            "perPage": self.per_page,
        }
        if self.files_each:
            variables |= {"fileLimit": self.files_each, "fileNames": list(self.names), "pattern": self.pattern}
        return variables

    def accept(self, page: RunsPage) -> tuple[ListedRun, ...]:
        """Take the requested page, and return its runs without those seen shortly before.

        Raises:
            ApiError: The server says that there are more pages but gives no way to them.
        """
        return self._trail.take(
            ((run.path.run_id, run) for run in page.runs),
            end_cursor=page.end_cursor,
            has_next=page.has_next,
            count=page.run_count,
        )


@attrs.define
class ProjectPages:
    """A walk through the projects of one entity.

    Query with `variables` and pass each page to `accept`, until `done`.

    Attributes:
        entity: The user or team.
        per_page: Projects to request at a time; may be changed in between.
    """

    entity: str
    per_page: int
    _trail: _Trail[ListedProject] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._trail = _Trail(f"the projects of {self.entity}")

    @property
    def done(self) -> bool:
        """Whether all pages have been accepted."""
        return self._trail.done

    def __str__(self) -> str:
        return self.entity

    @property
    def size(self) -> int:
        """Projects to request at a time."""
        return self.per_page

    def shrink(self, size: int) -> None:
        """Request at most so many projects at a time from now on."""
        self.per_page = min(self.per_page, size)

    def variables(self) -> dict[str, object]:
        """Return the variables of the `PROJECTS` query for the next page."""
        return {"entity": self.entity, "cursor": self._trail.cursor, "perPage": self.per_page}

    def accept(self, page: ProjectsPage) -> tuple[ListedProject, ...]:
        """Take the requested page, and return its projects without those seen shortly before.

        Raises:
            ApiError: The server says that there are more pages but gives no way to them.
        """
        return self._trail.take(
            ((project.path.project, project) for project in page.projects),
            end_cursor=page.end_cursor,
            has_next=page.has_next,
            count=None,
        )
