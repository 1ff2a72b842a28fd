"""Queries of W&B's API: files, runs, the default entity. Their texts are in `queries`."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, TypeVar

import attrs

from wbfiles_async._backoff import is_transient
from wbfiles_async._graphql.client import GraphQLClient, TooLargeError
from wbfiles_async._graphql.files_page import FilesPage, parse_files_page
from wbfiles_async._graphql.pagination import Pages, RunPages
from wbfiles_async._graphql.prefetch import MODEST_PAGE, ahead
from wbfiles_async._graphql.queries import PROJECTS, RUN, RUN_COUNT, RUN_FILES, RUNS, RUNS_WITH_FILES, VIEWER
from wbfiles_async._graphql.responses import parse_viewer
from wbfiles_async._graphql.runs_page import (
    ListedRun,
    RunsPage,
    parse_projects,
    parse_run,
    parse_run_count,
    parse_runs_page,
)
from wbfiles_async._models import FileAttributes, ProjectPath, RunPath
from wbfiles_async._settings import PER_PAGE
from wbfiles_async.errors import ApiError, RemoteFileNotFoundError, RunNotFoundError

__all__ = ["WandbApi"]

log = logging.getLogger(__name__)

TIMED_OUT_PAGES: Final = 2
"""Large pages that were not delivered in time, after which this server is asked for small ones only."""

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
    """

    def __init__(self, client: Callable[[], GraphQLClient], default_entity: str) -> None:
        self._client = client
        self._project_numbers: dict[tuple[str, str], int | None] = {}
        self._timed_out = 0
        self.names_projects = True
        self.default_entity = default_entity

    async def ask(
        self, query: str, variables: dict[str, object], *, repeat: bool = True, is_large: bool = False
    ) -> dict[str, object]:
        """Send one operation; see ``GraphQLClient.execute``."""
        return await self._client().execute(query, variables, repeat=repeat, is_large=is_large)

    async def read(self, parse: Callable[[], T], *, nodes: int) -> T:
        """Read an answer; one of many nodes in a thread, for which the loop would stand still too long."""
        return await self._client().disk.run(parse) if nodes > MODEST_PAGE else parse()

    async def resolve(self, path: P) -> P:
        """Fill in the default entity, which is requested once."""
        if path.entity:
            return path
        async with self._client().entity_lock:
            if not self.default_entity:
                self.default_entity = parse_viewer(await self.ask(VIEWER, {}))
        return attrs.evolve(path, entity=self.default_entity)

    async def pages(
        self, run: RunPath, *, names: tuple[str, ...] = (), pattern: str | None = None, per_page: int
    ) -> AsyncGenerator[tuple[FileAttributes, ...]]:
        """Yield the files of a run, page by page; the next page is requested while one is used.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails, or leads in circles.
        """
        walk = Pages(run=await self.resolve(run), per_page=per_page, names=names, pattern=pattern)
        async with aclosing(self.further_pages(walk)) as pages:
            async for page in pages:
                yield page

    def further_pages(self, walk: Pages) -> AsyncGenerator[tuple[FileAttributes, ...]]:
        """Yield the files of a run from a walk's cursor on, as ``pages`` does."""

        def accept(page: FilesPage) -> tuple[FileAttributes, ...]:
            files = walk.accept(page)
            if page.skipped:
                log.warning("%s: the server listed %d files without a name; they are left out", walk.run, page.skipped)
            if walk.missing:
                log.warning("%s: the server counts %d files more than it listed", walk.run, walk.missing)
            return files

        return ahead(lambda: self._page(walk), accept, lambda: walk.done)

    def run_pages(self, walk: RunPages) -> AsyncGenerator[tuple[ListedRun, ...]]:
        """Yield the runs of a project, page by page; the next page is requested while one is used.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server fails, or leads in circles.
        """

        def accept(page: RunsPage) -> tuple[ListedRun, ...]:
            runs = walk.accept(page)
            if page.skipped:
                log.warning(
                    "%s: the server listed %d runs without an id; they are left out", walk.project, page.skipped
                )
            return runs

        return ahead(lambda: self._runs_page(walk), accept, lambda: walk.done)

    async def _runs_page(self, walk: RunPages) -> RunsPage:
        query = RUNS_WITH_FILES if walk.files_each else RUNS
        asked = walk.per_page * max(1, walk.files_each)
        try:
            data = await self.ask(query, walk.variables(), is_large=asked > MODEST_PAGE)
        except (ApiError, TooLargeError) as error:
            if asked <= MODEST_PAGE or (isinstance(error, ApiError) and is_transient(error.status)):
                raise
            log.info("%s: a page of %d was not delivered, requesting %d", walk.project, asked, MODEST_PAGE)
            walk.per_page = min(walk.per_page, MODEST_PAGE)
            walk.files_each = min(walk.files_each, max(1, MODEST_PAGE // walk.per_page))
            data = await self.ask(query, walk.variables())
        nodes = walk.per_page * max(1, walk.files_each)
        return await self.read(partial(parse_runs_page, data, project=walk.project), nodes=nodes)

    async def count_runs(self, project: ProjectPath, filters: str) -> int | None:
        """Return how many runs of the project the filters select; ``None`` if the server does not count.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server fails.
        """
        project = await self.resolve(project)
        variables: dict[str, object] = {"project": project.project, "entity": project.entity, "filters": filters}
        return parse_run_count(await self.ask(RUN_COUNT, variables), project=project)

    async def look_up_run(self, run: RunPath) -> ListedRun:
        """Return what the listing of its project says of one run.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails.
        """
        run = await self.resolve(run)
        variables: dict[str, object] = {"project": run.project, "entity": run.entity, "name": run.run_id}
        return parse_run(await self.ask(RUN, variables), run=run)

    async def files_of_runs(
        self, runs: AsyncGenerator[Sequence[ListedRun]], *, names: tuple[str, ...], pattern: str | None
    ) -> AsyncGenerator[tuple[ListedRun, Sequence[FileAttributes]]]:
        """Yield the files of many runs, run by run and page by page. A run that is removed meanwhile is left out.

        Raises:
            ApiError: The server fails, or leads in circles.
        """
        async with aclosing(runs) as pages:
            async for page in pages:
                for run in page:
                    try:
                        walk = Pages(await self.resolve(run.path), PER_PAGE, names, pattern)
                        if run.files is not None:
                            yield run, walk.accept(run.files)
                        if not walk.done:
                            async with aclosing(self.further_pages(walk)) as rest:
                                async for files in rest:
                                    yield run, files
                    except RunNotFoundError:
                        log.warning("%s: the run was removed while the runs were listed; it is left out", run.path)

    async def _page(self, walk: Pages) -> FilesPage:
        if self._timed_out >= TIMED_OUT_PAGES:
            walk.per_page = min(walk.per_page, MODEST_PAGE)
        try:
            data = await self.ask(RUN_FILES, walk.variables(), is_large=walk.per_page > MODEST_PAGE)
        except (ApiError, TooLargeError) as error:
            if walk.per_page <= MODEST_PAGE or (isinstance(error, ApiError) and is_transient(error.status)):
                raise
            self._timed_out += isinstance(error, TooLargeError)
            log.info("%s: a page of %d files was not delivered, requesting %d", walk.run, walk.per_page, MODEST_PAGE)
            walk.per_page = MODEST_PAGE
            data = await self.ask(RUN_FILES, walk.variables())
        page = await self.read(partial(parse_files_page, data, run=walk.run), nodes=walk.per_page)
        self._project_numbers[walk.run.entity, walk.run.project] = page.project_id
        return page

    async def count_all(self, run: RunPath) -> int | None:
        """Return how many files the run has in all; ``None`` if the server does not count."""
        return (await self._page(Pages(run=await self.resolve(run), per_page=1))).file_count

    async def find(self, run: RunPath, name: str) -> FileAttributes | None:
        """Return one file by its name; ``None`` if the run has none of that name."""
        page = await self._page(Pages(run=await self.resolve(run), per_page=1, names=(name,)))
        return next((file for file in page.files if file.name == name), None)

    async def projects(self, entity: str, *, most: int) -> list[str]:
        """Return names of projects of an entity, as the server orders them.

        Args:
            entity: The user or team; empty for the default one.
            most: The number of names that are enough.
        """
        names: list[str] = []
        cursor = None
        while len(names) < most:
            variables: dict[str, object] = {
                "entity": entity or None,
                "cursor": cursor,
                "perPage": min(most, MODEST_PAGE),
            }
            page, cursor = parse_projects(await self.ask(PROJECTS, variables))
            names += page
            if cursor is None or not page:
                break
        return names[:most]

    async def look_up(self, run: RunPath, name: str) -> FileAttributes:
        """Return one file by its name.

        Raises:
            RemoteFileNotFoundError: The run has none of that name.
        """
        found = await self.find(run, name)
        if found is None:
            raise RemoteFileNotFoundError(
                f"The run {run} has no file {name!r}. Names are case-sensitive and hold the folders; "
                "list the run's files to see them.",
                name=name,
                run=str(run),
            )
        return found

    async def project_number(self, run: RunPath) -> int | None:
        """Return the number of the run's project, which deletions name; ``None`` if the server states none."""
        run = await self.resolve(run)
        if (run.entity, run.project) not in self._project_numbers:
            await self._page(Pages(run=run, per_page=1))
        return self._project_numbers[run.entity, run.project]
