"""Queries of W&B's API: files, runs, the default entity. Their texts are in `queries`."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import attrs

from wbfiles_async._backoff import is_transient
from wbfiles_async._graphql.client import GraphQLClient, TooLargeError
from wbfiles_async._graphql.files_page import FilesPage, parse_files_page
from wbfiles_async._graphql.lookahead import Lookahead
from wbfiles_async._graphql.page_end import page_end
from wbfiles_async._graphql.page_size import MODEST_PAGE, PageLimit
from wbfiles_async._graphql.pagination import Item, Page, Pages, ProjectPages, RunPages, Walk
from wbfiles_async._graphql.prefetch import prefetch
from wbfiles_async._graphql.projects_page import ListedProject, parse_projects_page
from wbfiles_async._graphql.queries import (
    PROJECTS,
    RUN,
    RUN_COUNT,
    RUN_FILE_SIZES,
    RUN_FILES,
    RUNS,
    RUNS_WITH_FILE_COUNTS,
    RUNS_WITH_FILE_SIZES,
    RUNS_WITH_FILES,
    VIEWER,
    VIEWER_ENTITIES,
)
from wbfiles_async._graphql.responses import parse_entities, parse_viewer
from wbfiles_async._graphql.runs_page import ListedRun, parse_run, parse_run_count, parse_runs_page
from wbfiles_async._models import FileAttributes, ProjectPath, RunPath
from wbfiles_async._options import PER_PAGE
from wbfiles_async.errors import ApiError, RemoteFileNotFoundError, RunNotFoundError

__all__ = ["WandbApi"]

log = logging.getLogger(__name__)

T = TypeVar("T")
P = TypeVar("P", RunPath, ProjectPath)


class WandbApi:
    """W&B's API, as one client queries it.

    Args:
        client: Returns the GraphQL client of the running event loop.
        default_entity: The entity of paths that name none; empty to request it.

    Attributes:
        default_entity: The entity of paths that name none; empty until it is requested.
        names_projects: Whether the server takes a project's number in deletions; cleared once it refuses one.
        finds_runs: Whether the server lists the runs of given names; cleared once it does not.
        marks_uploads: Whether uploaded files must be marked; ``None`` until known.
        mixes_runs: Whether the server deletes files of several runs together; cleared once it refuses.
    """

    def __init__(self, client: Callable[[], GraphQLClient], default_entity: str) -> None:
        self._client = client
        self._project_numbers: dict[tuple[str, str], int | None] = {}
        self._page_limit = PageLimit()
        self.names_projects = True
        self.finds_runs = True
        self.marks_uploads: bool | None = None
        self.mixes_runs = True
        self.default_entity = default_entity

    async def query(
        self,
        query: str,
        variables: dict[str, object],
        *,
        repeat: bool = True,
        slow_retries: int | None = None,
        failing_since: float | None = None,
    ) -> dict[str, object]:
        """Send one operation; see ``GraphQLClient.execute``."""
        return await self._client().execute(
            query, variables, repeat=repeat, slow_retries=slow_retries, failing_since=failing_since
        )

    async def read(self, parse: Callable[[], T], *, nodes: int) -> T:
        """Parse a response; a large one in a thread, since it would block the event loop too long."""
        return await self._client().disk.run(parse) if nodes > MODEST_PAGE else parse()

    async def resolve(self, path: P) -> P:
        """Add the default entity, which is requested once."""
        return path if path.entity else attrs.evolve(path, entity=await self.entity())

    async def entity(self) -> str:
        """Return the default entity, which is requested once."""
        async with self._client().entity_lock:
            if not self.default_entity:
                self.default_entity = parse_viewer(await self.query(VIEWER, {}))
        return self.default_entity

    async def entities(self) -> list[str]:
        """Return the user's own entity and teams.

        Raises:
            ApiError: The server fails.
        """
        return parse_entities(await self.query(VIEWER_ENTITIES, {}))

    async def pages(
        self, run: RunPath, *, names: tuple[str, ...] = (), pattern: str | None = None, per_page: int
    ) -> AsyncGenerator[tuple[FileAttributes, ...]]:
        """Yield the files of a run, page by page; the next page is requested while one is used.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails, or its pages are circular.
        """
        walk = Pages(run=await self.resolve(run), per_page=per_page, names=names, pattern=pattern)
        async with aclosing(self.further_pages(walk)) as pages:
            async for page in pages:
                yield page

    def further_pages(self, walk: Pages) -> AsyncGenerator[tuple[FileAttributes, ...]]:
        """Yield the files of a run from a cursor on, like ``pages``."""

        async def read(data: Mapping[str, object]) -> tuple[FileAttributes, ...]:
            files = _take(walk, await self._read_files_page(walk, data))
            if walk.missing:
                log.warning("%s: the server counts %d files more than it listed", walk.run, walk.missing)
            return files

        return self._follow(walk, _files_query(walk), read)

    def run_pages(self, walk: RunPages) -> AsyncGenerator[tuple[ListedRun, ...]]:
        """Yield the runs of a project, page by page; the next page is requested while one is used.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server fails, or its pages are circular.
        """

        async def read(data: Mapping[str, object]) -> tuple[ListedRun, ...]:
            page = await self.read(partial(parse_runs_page, data, project=walk.project), nodes=walk.size)
            self._project_numbers.setdefault((walk.project.entity, walk.project.project), page.project_id)
            return _take(walk, page)

        with_files = RUNS_WITH_FILES if walk.urls else RUNS_WITH_FILE_SIZES
        without = RUNS_WITH_FILE_COUNTS if walk.counts else RUNS
        return self._follow(walk, with_files if walk.files_each else without, read)

    def project_pages(self, walk: ProjectPages) -> AsyncGenerator[tuple[ListedProject, ...]]:
        """Yield the projects of an entity, page by page; the next page is requested while one is used.

        Raises:
            RunNotFoundError: The entity does not exist or is not visible.
            ApiError: The server fails, or its pages are circular.
        """

        async def read(data: Mapping[str, object]) -> tuple[ListedProject, ...]:
            return _take(walk, parse_projects_page(data, entity=walk.entity))

        return self._follow(walk, PROJECTS, read)

    def _follow(
        self, walk: Walk[Page, Item], query: str, read: Callable[[Mapping[str, object]], Awaitable[tuple[Item, ...]]]
    ) -> AsyncGenerator[tuple[Item, ...]]:
        async def request() -> Mapping[str, object]:
            data = await self._request_page(query, walk)
            walk.advance(page_end(data, *walk.place))
            return data

        return prefetch(request, read, lambda: walk.done)

    async def count_runs(self, project: ProjectPath, filters: str) -> int | None:
        """Return the number of runs that the filters select; ``None`` if the server does not count.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server fails.
        """
        project = await self.resolve(project)
        variables: dict[str, object] = {"project": project.project, "entity": project.entity, "filters": filters}
        return parse_run_count(await self.query(RUN_COUNT, variables), project=project)

    async def look_up_run(self, run: RunPath) -> ListedRun:
        """Return a run's entry in the listing of its project.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails.
        """
        run = await self.resolve(run)
        variables: dict[str, object] = {"project": run.project, "entity": run.entity, "name": run.run_id}
        return parse_run(await self.query(RUN, variables), run=run)

    async def files_of_runs(
        self,
        runs: AsyncGenerator[Sequence[ListedRun]],
        *,
        names: tuple[str, ...] = (),
        pattern: str | None = None,
        urls: bool = True,
        per_page: int = PER_PAGE,
    ) -> AsyncGenerator[tuple[ListedRun, Sequence[FileAttributes]]]:
        """Yield the files of many runs, run by run and page by page. A run that is removed meanwhile is skipped.

        Of runs with more files than were listed with them, a few are listed ahead. Memory does not grow with the
        number of runs and files.

        Args:
            runs: The runs, some or all with the first of their files.
            names: Only the files of these names.
            pattern: Only the files whose names are LIKE this.
            urls: Whether their URLs are needed.
            per_page: Files per request if a run is listed separately.

        Raises:
            ApiError: The server fails, or its pages are circular.
        """
        async with aclosing(runs) as pages:
            async for page in pages:
                walks = [Pages(await self.resolve(run.path), names, pattern, urls, per_page=per_page) for run in page]
                first = [
                    () if run.files is None else walk.accept(run.files) for run, walk in zip(page, walks, strict=True)
                ]
                further = [not walk.done for walk in walks]
                rest = Lookahead(self.further_pages(walk) for walk, more in zip(walks, further, strict=True) if more)
                async with aclosing(rest):
                    for run, files, more in zip(page, first, further, strict=True):
                        if run.files is not None:
                            yield run, run.meant(files)
                        try:
                            if more:
                                async with aclosing(rest.next()) as following:
                                    async for files in following:
                                        yield run, run.meant(files)
                        except RunNotFoundError:
                            log.warning("%s: the run was removed while the runs were listed; it is left out", run.path)

    async def _page(self, walk: Pages) -> FilesPage:
        return await self._read_files_page(walk, await self._request_page(_files_query(walk), walk))

    async def _read_files_page(self, walk: Pages, data: Mapping[str, object]) -> FilesPage:
        page = await self.read(partial(parse_files_page, data, run=walk.run), nodes=walk.size)
        self._project_numbers[walk.run.entity, walk.run.project] = page.project_id
        return page

    async def _request_page(self, query: str, walk: Walk[Page, Item]) -> dict[str, object]:
        """Request the next page of a walk; a smaller one if the server refuses it or does not deliver it in time."""
        limit, failing_since = self._page_limit, None
        walk.shrink(limit.clip(walk.size))
        while True:
            size = walk.size
            try:
                retries = limit.retries(size)
                return await self.query(query, walk.variables(), slow_retries=retries, failing_since=failing_since)
            except TooLargeError as error:
                smaller, failing_since = limit.record_timeout(size), error.failing_since
            except ApiError as error:
                if size <= MODEST_PAGE or is_transient(error.status):
                    raise
                smaller = MODEST_PAGE
            log.info("%s: a page of %d was not delivered, requesting %d", walk, size, smaller)
            walk.shrink(smaller)

    async def count_all(self, run: RunPath) -> int | None:
        """Return the total number of files of the run; ``None`` if the server does not count."""
        return (await self._page(Pages(run=await self.resolve(run), per_page=1))).file_count

    async def find(self, run: RunPath, name: str) -> FileAttributes | None:
        """Return one file by its name; ``None`` if the run has none of that name."""
        page = await self._page(Pages(run=await self.resolve(run), per_page=1, names=(name,)))
        return next((file for file in page.files if file.name == name), None)

    async def look_up(self, run: RunPath, name: str) -> FileAttributes:
        """Return one file by its name.

        Raises:
            RemoteFileNotFoundError: The run has none of that name.
        """
        found = await self.find(run, name)
        if found is None:
            raise RemoteFileNotFoundError(
                f"The run {run} has no file {name!r}. Names are case-sensitive and include the folders; "
                "list the run's files to see them.",
                name=name,
                run=str(run),
            )
        return found

    async def project_number(self, run: RunPath) -> int | None:
        """Return the number of the run's project, for deletions; ``None`` if the server states none."""
        run = await self.resolve(run)
        if (run.entity, run.project) not in self._project_numbers:
            await self._page(Pages(run=run, per_page=1))
        return self._project_numbers[run.entity, run.project]


def _files_query(walk: Pages) -> str:
    return RUN_FILES if walk.urls else RUN_FILE_SIZES


def _take(walk: Walk[Page, Item], page: Page) -> tuple[Item, ...]:
    """Take a page, and log skipped entries."""
    items = walk.take(page)
    if page.skipped:
        log.warning("%s: the server listed %d %s; they are left out", walk, page.skipped, walk.unreadable)
    return items
