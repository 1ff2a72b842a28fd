"""The runs of a project, listed lazily, to be iterated and their files downloaded together."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from wbfiles_async._display.watching import watching_many
from wbfiles_async._file import AsyncFile
from wbfiles_async._files import check_existing, judged
from wbfiles_async._models import DownloadReport, Existing, FileAttributes, FileResult, ProjectPath
from wbfiles_async._protocol.layout import Layout
from wbfiles_async._protocol.pages import Pages, RunPages
from wbfiles_async._protocol.runs_page import ListedRun
from wbfiles_async._protocol.selection import Selection
from wbfiles_async._run import AsyncRun
from wbfiles_async._settings import LAYOUT, PER_PAGE
from wbfiles_async.errors import ConfigurationError, RunNotFoundError

if TYPE_CHECKING:
    from wbfiles_async._api import AsyncApi
    from wbfiles_async._transfer.progress import Progress

log = logging.getLogger(__name__)


@attrs.frozen(eq=False, repr=False)
class AsyncRuns:
    """The runs of a project, as ``AsyncApi.runs`` selects them. Each iteration asks the server anew.

    Runs added or removed while the pages are read may or may not appear; a run appears once.
    """

    _client: AsyncApi
    _path: ProjectPath
    _filters: str
    _order: str
    _per_page: int

    def __repr__(self) -> str:
        return f"<AsyncRuns of {self._path}>"

    async def __aiter__(self) -> AsyncGenerator[AsyncRun]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for run in page:
                    yield run

    async def pages(self) -> AsyncGenerator[list[AsyncRun]]:
        """Iterate page by page; the next page is asked for while one is used.

        Yields:
            The runs of a page.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server fails, or does not understand the filters or the order.
        """
        async with aclosing(self._listed()) as pages:
            async for page in pages:
                yield [AsyncRun(self._client, run.path, run) for run in page]

    async def to_list(self) -> list[AsyncRun]:
        """List all runs.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server fails, or does not understand the filters or the order.
        """
        return [run async for run in self]

    async def first(self) -> AsyncRun | None:
        """Give the first run, ``None`` where there is none.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server fails, or does not understand the filters or the order.
        """
        async with aclosing(self.__aiter__()) as runs:
            async for run in runs:
                return run
        return None

    async def count(self) -> int:
        """Count the runs that the filters select; the server is asked for the number alone.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server fails, or does not understand the filters.
        """
        count = await self._client._gateway.count_runs(self._path, self._filters)
        return len(await self.to_list()) if count is None else count

    async def download(
        self,
        root: str | os.PathLike[str] = ".",
        *,
        layout: str = LAYOUT,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        existing: Existing = "verify",
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DownloadReport:
        """Download the files of all runs side by side, by default each to ``root/run_id/name``.

        A request lists many runs together with the first files of each; runs with more files cost requests of
        their own. Listing stays a few pages ahead of the transfers, and memory does not grow with the number of
        runs and files. One file's failure, or one run's, does not stop the others.

        Args:
            root: Local folder; made where it is missing.
            layout: Folders below ``root`` that a run's files go to, with ``{entity}``, ``{project}`` and ``{run}`` for
                those of the run: ``"{project}/{run}"``, or ``""`` for no folder.
            include: As for ``AsyncFiles.download``. A single pattern, or plain names, are compared by the server too,
                which then lists little else.
            exclude: As for ``AsyncFiles.download``.
            existing: As for ``AsyncFiles.download``.
            dry_run: Whether to only tell what would be fetched.
            raise_on_error: Whether to raise when a file or a run failed, after the others are done.
            progress: As for ``AsyncFiles.download``, with ``run_id/name`` for names.
            on_result: Called with each file's result, in the event loop's thread.

        Returns:
            What was done.

        Raises:
            IncompleteDownloadError: Files failed, or runs could not be listed; it carries the report.
            ConfigurationError: A pattern, ``existing`` or ``layout`` cannot be used.
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The listing of the runs failed.
        """
        check_existing(existing)
        selection = Selection(include, exclude)
        shown = None if dry_run else progress
        async with watching_many(shown, on_result, None, selection) as (told, note):
            report = await self._client._gateway.download_many(
                self._listed(selection),
                Path(root),
                layout=Layout(layout),
                selection=selection,
                existing=existing,
                dry_run=dry_run,
                progress=told,
                on_result=note,
            )
        return judged(report, existing, raise_on_error=raise_on_error)

    async def _files(self, selection: Selection) -> AsyncGenerator[list[AsyncFile]]:
        """List the files of all runs that a selection accepts, run by run and page by page; pages may be empty.

        A run that is removed meanwhile is left out.
        """
        async with aclosing(self._listed(selection)) as listed:
            async for page in listed:
                for found in page:
                    run = AsyncRun(self._client, found.path, attrs.evolve(found, files=None))
                    try:
                        async with aclosing(self._files_of(found, selection)) as pages:
                            async for files in pages:
                                accepted = [file for file in files if selection.accepts(file.name)]
                                yield [AsyncFile._of(self._client, file, run) for file in accepted]
                    except RunNotFoundError:
                        log.warning("%s: the run was removed while the runs were listed; it is left out", run._path)

    async def _files_of(self, run: ListedRun, selection: Selection) -> AsyncGenerator[Sequence[FileAttributes]]:
        """List the files of a run, beginning with those that came with it."""
        gateway = self._client._gateway
        walk = Pages(await gateway.resolve(run.path), PER_PAGE, selection.names, selection.pattern)
        if run.files is not None:
            yield walk.accept(run.files)
        if not walk.done:
            async with aclosing(gateway.further_pages(walk)) as pages:
                async for page in pages:
                    yield page

    async def _listed(self, selection: Selection | None = None) -> AsyncGenerator[tuple[ListedRun, ...]]:
        """List the runs; where files are to be selected, each with the first of those."""
        if selection is not None and selection.is_empty:
            return
        gateway = self._client._gateway
        walk = RunPages(await gateway.resolve(self._path), self._filters, self._order, self._per_page)
        if selection is not None:
            walk.files_each = max(1, PER_PAGE // self._per_page)
            walk.names, walk.pattern = selection.names, selection.pattern
        async with aclosing(gateway.run_pages(walk)) as pages:
            async for page in pages:
                yield page


def parse_filters(filters: Mapping[str, object] | None) -> str:
    """Return filters as the JSON that the server takes.

    Raises:
        ConfigurationError: They are no mapping, or hold what JSON cannot.
    """
    if filters is not None and not isinstance(filters, Mapping):
        raise ConfigurationError(f"filters is a mapping such as {{'state': 'finished'}}, not {filters!r}.")
    try:
        return json.dumps(dict(filters or {}))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"filters must hold texts, numbers, lists and mappings only, as JSON does: {error}."
        ) from None
