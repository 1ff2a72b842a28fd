"""What the objects of one client share: its settings, its session, and the questions they ask of the API."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
import httpx

from wbfiles_async._credentials import Credentials
from wbfiles_async._deletion import Deletion
from wbfiles_async._listing import MODEST_PAGE, ahead
from wbfiles_async._many import ManyRuns
from wbfiles_async._models import DownloadReport, Existing, FileAttributes, FileResult, ProjectPath, RunPath
from wbfiles_async._projects import count_runs, run_pages
from wbfiles_async._protocol.answers import parse_viewer
from wbfiles_async._protocol.backoff import is_transient
from wbfiles_async._protocol.files_page import FilesPage, parse_files_page
from wbfiles_async._protocol.graphql import RUN_FILES, VIEWER
from wbfiles_async._protocol.layout import Layout
from wbfiles_async._protocol.pages import Pages, RunPages
from wbfiles_async._protocol.runs_page import ListedRun
from wbfiles_async._protocol.selection import Selection
from wbfiles_async._settings import Settings, TransferOptions
from wbfiles_async._transfer.bulk import BulkDownload
from wbfiles_async._transfer.failures import Budget
from wbfiles_async._transfer.graphql import ask
from wbfiles_async._transfer.one import OneFile
from wbfiles_async._transfer.progress import Progress
from wbfiles_async._transfer.session import Session, closed_client, open_session
from wbfiles_async._transfer.source import Source
from wbfiles_async._transfer.survey import Listed
from wbfiles_async.errors import ApiError, RemoteFileNotFoundError

log = logging.getLogger(__name__)

T = TypeVar("T")
P = TypeVar("P", RunPath, ProjectPath)

_inherited: list[Session] = []
"""Sessions of a parent process. Kept, never closed: closing would speak on connections the parent uses."""


class Gateway:
    """One client's way to W&B. Belongs to one event loop from its first use on.

    Args:
        settings: Where the API is and who asks.
        options: How transfers behave.
        credentials: ``None`` where an injected client brings its own.
        http_client: Used for everything if given.
        transport: Used in place of our own if given.

    Attributes:
        names_projects: Whether the server takes a project's number in deletions; cleared by whoever finds out.
    """

    def __init__(
        self,
        settings: Settings,
        options: TransferOptions,
        credentials: Credentials | None,
        *,
        http_client: httpx.AsyncClient | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.settings = settings
        self.options = options
        self._credentials = credentials
        self._http_client = http_client
        self._transport = transport
        self._session: Session | None = None
        self._project_numbers: dict[tuple[str, str], int | None] = {}
        self.names_projects = True
        self._closed = False
        self.default_entity = settings.entity or ""

    def session(self) -> Session:
        """Give the session of the running event loop, made at the first call.

        Raises:
            ConfigurationError: The client is closed, or belongs to another event loop.
        """
        if self._closed:
            raise closed_client()
        if self._session is not None and self._session.inherited:
            _inherited.append(self._session)
            self._session = None
        if self._session is None:
            self._session = open_session(
                self.settings,
                self.options,
                self._credentials,
                http_client=self._http_client,
                transport=self._transport,
            )
        self._session.check_loop()
        return self._session

    async def aclose(self) -> None:
        """Close the session; a second call does nothing."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None and session.inherited:
            _inherited.append(session)
        elif session is not None:
            await session.aclose()

    async def ask(self, query: str, variables: dict[str, object], *, repeat: bool = True) -> dict[str, object]:
        """Ask the API; see ``graphql.ask``."""
        return await ask(self.session(), query, variables, repeat=repeat)

    async def read(self, parse: Callable[[], T], *, nodes: int) -> T:
        """Read an answer; one of many nodes in a thread, for which the loop would stand still too long."""
        return await self.session().disk.run(parse) if nodes > MODEST_PAGE else parse()

    async def resolve(self, path: P) -> P:
        """Fill in the default entity, which is asked from the server once."""
        if path.entity:
            return path
        async with self.session().entity_lock:
            if not self.default_entity:
                self.default_entity = parse_viewer(await self.ask(VIEWER, {}))
        return attrs.evolve(path, entity=self.default_entity)

    async def pages(
        self, run: RunPath, *, names: tuple[str, ...] = (), pattern: str | None = None, per_page: int
    ) -> AsyncGenerator[tuple[FileAttributes, ...]]:
        """Yield the files of a run, page by page; the next page is on its way while one is used.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails, or leads in circles.
        """
        walk = Pages(run=await self.resolve(run), per_page=per_page, names=names, pattern=pattern)
        async with aclosing(self.further_pages(walk)) as pages:
            async for page in pages:
                yield page

    def further_pages(self, walk: Pages) -> AsyncGenerator[tuple[FileAttributes, ...]]:
        """Yield the files of a run from where a walk stands on, as ``pages`` does."""

        def accept(page: FilesPage) -> tuple[FileAttributes, ...]:
            files = walk.accept(page)
            if page.skipped:
                log.warning("%s: the server listed %d files without a name; they are left out", walk.run, page.skipped)
            if walk.missing:
                log.warning("%s: the server counts %d files more than it listed", walk.run, walk.missing)
            return files

        return ahead(lambda: self._page(walk), accept, lambda: walk.done)

    def run_pages(self, walk: RunPages) -> AsyncGenerator[tuple[ListedRun, ...]]:
        """Yield the runs of a project; see ``_projects``."""
        return run_pages(self, walk)

    async def count_runs(self, project: ProjectPath, filters: str) -> int | None:
        """Ask how many runs of a project the filters select; see ``_projects``."""
        return await count_runs(self, project, filters)

    async def _page(self, walk: Pages) -> FilesPage:
        try:
            data = await self.ask(RUN_FILES, walk.variables())
        except ApiError as error:
            if walk.per_page <= MODEST_PAGE or is_transient(error.status):
                raise
            log.info("%s: a page of %d files was refused, asking for %d", walk.run, walk.per_page, MODEST_PAGE)
            walk.per_page = MODEST_PAGE
            data = await self.ask(RUN_FILES, walk.variables())
        page = await self.read(partial(parse_files_page, data, run=walk.run), nodes=walk.per_page)
        self._project_numbers[walk.run.entity, walk.run.project] = page.project_id
        return page

    async def count_all(self, run: RunPath) -> int | None:
        """Ask how many files the run has in all; ``None`` where the server does not count."""
        return (await self._page(Pages(run=await self.resolve(run), per_page=1))).file_count

    async def find(self, run: RunPath, name: str) -> FileAttributes | None:
        """Ask for one file by its name; ``None`` where the run has none of that name."""
        page = await self._page(Pages(run=await self.resolve(run), per_page=1, names=(name,)))
        return next((file for file in page.files if file.name == name), None)

    async def look_up(self, run: RunPath, name: str) -> FileAttributes:
        """Ask for one file by its name.

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

    def open(self, attributes: FileAttributes, run: RunPath | None) -> OneFile:
        """Make ready to transfer one file. Makes no request."""

        async def look_up() -> Source:
            return self._source(attributes if run is None else await self.look_up(run, attributes.name), run)

        pickled = attributes.stripped and run is not None  # it has no signed URLs any more
        return OneFile(self.session(), attributes.name, None if pickled else self._source(attributes, run), look_up)

    async def download_all(
        self,
        run: RunPath,
        pages: AsyncIterator[Sequence[FileAttributes]],
        root: Path,
        *,
        selection: Selection,
        existing: Existing,
        dry_run: bool,
        progress: Progress | None,
        on_result: Callable[[FileResult], None] | None,
    ) -> DownloadReport:
        """Download many files of a run; see ``BulkDownload``."""

        async def listed() -> AsyncGenerator[list[Listed]]:
            path = await self.resolve(run)
            async for page in pages:
                yield [Listed(path, page)]

        bulk = self._bulk(root, selection, existing, dry_run, progress, on_result)
        async with aclosing(listed()) as found:
            return await bulk.run(found)

    async def download_many(
        self,
        runs: AsyncGenerator[Sequence[ListedRun]],
        root: Path,
        *,
        layout: Layout,
        selection: Selection,
        existing: Existing,
        dry_run: bool,
        progress: Progress | None,
        on_result: Callable[[FileResult], None] | None,
    ) -> DownloadReport:
        """Download the files of many runs; see ``ManyRuns``."""
        bulk = self._bulk(root, selection, existing, dry_run, progress, on_result)
        return await ManyRuns(self, layout, selection).download(runs, bulk)

    def _bulk(
        self,
        root: Path,
        selection: Selection,
        existing: Existing,
        dry_run: bool,
        progress: Progress | None,
        on_result: Callable[[FileResult], None] | None,
    ) -> BulkDownload:
        return BulkDownload(
            session=self.session(),
            source_for=self._source,
            root=root,
            selection=selection,
            existing=existing,
            dry_run=dry_run,
            progress=progress,
            on_result=on_result,
        )

    def _source(self, attributes: FileAttributes, run: RunPath | None) -> Source:
        return Source(
            attributes,
            run=str(run or ""),
            budget=Budget(self.options),
            relist=None if run is None else lambda: self.look_up(run, attributes.name),
        )

    def deletion(self, run: RunPath, on_result: Callable[[FileResult], None] | None = None) -> Deletion:
        """Make ready to delete files of a run. Makes no request."""
        return Deletion(self, run, on_result)

    async def project_number(self, run: RunPath) -> int | None:
        """Give the number of the run's project, which deletions name; ``None`` where the server gives none."""
        run = await self.resolve(run)
        if (run.entity, run.project) not in self._project_numbers:
            await self._page(Pages(run=run, per_page=1))
        return self._project_numbers[run.entity, run.project]
