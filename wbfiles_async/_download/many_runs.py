"""The files of many runs: listed a little ahead of their transfers, and downloaded together."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Protocol

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from wbfiles_async._download.layout import Layout
from wbfiles_async._download.planned import ListedFiles
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.api import WandbApi
from wbfiles_async._graphql.pagination import Pages
from wbfiles_async._graphql.runs_page import ListedRun
from wbfiles_async._models import FileAttributes
from wbfiles_async._options import PER_PAGE
from wbfiles_async._reports import DownloadReport
from wbfiles_async._tasks import open_task_group
from wbfiles_async.errors import ApiError, PermissionDeniedError, RunNotFoundError, UnsafePathError

log = logging.getLogger(__name__)

LISTERS = 4
"""Concurrent listings of single runs: enough for a distant API, few enough not to flood one."""

_OF_ONE_RUN = (RunNotFoundError, PermissionDeniedError, ApiError)
"""Errors that concern one run only, not the others. Refused credentials and a dead network concern all of them."""

_Ready = MemoryObjectSendStream[Sequence[ListedFiles]]


class Bulk(Protocol):
    """The download of many files to any destination."""

    async def run(self, pages: AsyncIterator[Sequence[ListedFiles]]) -> DownloadReport:
        """Download the listed files."""
        ...


@attrs.frozen
class ManyRuns:
    """Lists the files of many runs.

    The first files of a run may be listed with the run itself; further requests are sent only if there are more.
    Only a few pages are in memory at a time, however many runs there are.
    """

    _api: WandbApi
    _layout: Layout
    _selection: Selection

    async def download(self, runs: AsyncGenerator[Sequence[ListedRun]], bulk: Bulk) -> DownloadReport:
        """Download the files of all runs.

        A run that cannot be listed is a failure in the report, and does not stop the others.

        Raises:
            WBFilesError: The runs cannot be listed, or nothing can be written below the root.
        """
        ready, found = anyio.create_memory_object_stream[Sequence[ListedFiles]]()
        async with found, open_task_group() as group:
            group.start_soon(self._list, runs, ready)
            return await bulk.run(found)

    async def _list(self, runs: AsyncGenerator[Sequence[ListedRun]], ready: _Ready) -> None:
        unfinished, waiting = anyio.create_memory_object_stream[_Walk]()
        async with ready, open_task_group() as group, unfinished, waiting, aclosing(runs) as pages:
            for _ in range(LISTERS):
                group.start_soon(self._list_further, waiting.clone(), ready)
            async for page in pages:
                walks = [await self._begin(run) for run in page]
                if first := [walk.listed for walk in walks if walk.listed.files or walk.listed.error]:
                    await ready.send(first)
                for walk in walks:
                    if not walk.pages.done and walk.listed.error is None:
                        await unfinished.send(walk)

    async def _begin(self, run: ListedRun) -> _Walk:
        """Take the files that were listed with the run."""
        path = await self._api.resolve(run.path)
        pages = Pages(path, self._selection.names, self._selection.pattern, per_page=PER_PAGE)
        listed = ListedFiles(path, (), label=f"{path.run_id}/")
        try:
            listed = attrs.evolve(listed, folder=self._layout.folder(path))
            if run.files is not None:
                listed = attrs.evolve(listed, files=run.meant(pages.accept(run.files)))
                if run.files.skipped:
                    log.warning(
                        "%s: the server listed %d files without a name; they are left out", path, run.files.skipped
                    )
        except (ApiError, UnsafePathError) as error:
            listed = attrs.evolve(listed, error=error)
        return _Walk(pages, listed, run)

    async def _list_further(self, waiting: MemoryObjectReceiveStream[_Walk], ready: _Ready) -> None:
        async with waiting:
            async for walk in waiting:
                try:
                    async with aclosing(self._api.further_pages(walk.pages)) as pages:
                        async for files in pages:
                            await ready.send([walk.of(files)])
                except _OF_ONE_RUN as error:
                    await ready.send([attrs.evolve(walk.of(()), error=error)])


@attrs.frozen
class _Walk:
    """A run whose files are being listed.

    Attributes:
        pages: The position of the listing.
        listed: Its first files, and their destination.
        run: The run, as it was listed.
    """

    pages: Pages
    listed: ListedFiles
    run: ListedRun

    def of(self, files: Sequence[FileAttributes]) -> ListedFiles:
        """Return further files of the run."""
        return attrs.evolve(self.listed, files=self.run.meant(files))
