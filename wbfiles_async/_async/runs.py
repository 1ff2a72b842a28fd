"""The runs of a project, listed lazily, to be iterated and their files downloaded together."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import attrs

from wbfiles_async._async.file import AsyncFile
from wbfiles_async._async.files import check_existing, checked_report
from wbfiles_async._async.run import AsyncRun
from wbfiles_async._bucket.roots import read_root
from wbfiles_async._display.watching import watching_deletion, watching_many
from wbfiles_async._download.layout import Layout
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.pagination import RunPages
from wbfiles_async._graphql.pending_deletions import PendingDeletions
from wbfiles_async._graphql.runs_page import ListedRun
from wbfiles_async._graphql.shares import HUGE_FILES, Share
from wbfiles_async._html import ShownList, listing_html
from wbfiles_async._models import Existing, FileAttributes, ProjectPath, RunPath
from wbfiles_async._options import LAYOUT, PER_PAGE, RUNS_PER_PAGE
from wbfiles_async._reports import DeletionReport, DownloadReport, FileResult
from wbfiles_async.errors import ConfigurationError, IncompleteDeletionError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from wbfiles_async._async.client import Client
    from wbfiles_async._download.progress import Progress

log = logging.getLogger(__name__)


@attrs.frozen(eq=False, repr=False)
class AsyncRuns:
    """The runs of a project, as ``AsyncApi.runs`` selects them. Each iteration lists them again.

    Runs added or removed while the pages are read may or may not appear; a run appears once.
    """

    _client: Client
    _path: ProjectPath
    _filters: str
    _order: str
    _per_page: int
    _share: Share | None = None

    def __repr__(self) -> str:
        return f"<AsyncRuns of {self._path}>"

    def _repr_html_(self) -> str:
        return listing_html("Runs", str(self._path), (), complete=False)

    async def __aiter__(self) -> AsyncGenerator[AsyncRun]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for run in page:
                    yield run

    async def pages(self) -> AsyncGenerator[list[AsyncRun]]:
        """Iterate page by page; the next page is requested while one is used.

        Yields:
            The runs of a page.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server failed, or did not accept the filters or the order.
        """
        async with aclosing(self._listed()) as pages:
            async for page in pages:
                yield ShownList(AsyncRun(self._client, run.path, run) for run in page)

    async def to_list(self) -> list[AsyncRun]:
        """List all runs.

        Returns:
            All runs of this listing, in its order.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server failed, or did not accept the filters or the order.
        """
        return ShownList([run async for run in self])

    async def first(self) -> AsyncRun | None:
        """Return the first run; ``None`` if there is none.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server failed, or did not accept the filters or the order.
        """
        async with aclosing(self.__aiter__()) as runs:
            async for run in runs:
                return run
        return None

    async def count(self) -> int:
        """Count the runs that the filters select; only their number is requested.

        Returns:
            The number of runs.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server failed, or did not accept the filters.
        """
        count = await self._client._gateway.api.count_runs(self._path, self._filters)
        return len(await self.to_list()) if count is None else count

    def files(self, *, include: Iterable[str] | None = None, exclude: Iterable[str] = ()) -> AsyncGenerator[AsyncFile]:
        """Iterate over the files of all runs, run by run; each knows its run.

        One request lists many runs with the first files of each; runs with more files need further requests. Listing
        stays a few pages ahead, and memory does not grow with the number of runs and files.

        Args:
            include: Shell patterns for the file's name, ``*`` also matches ``/``; ``media/`` means the files of that
                folder. ``None`` (default) means all files, an empty list none. A single
                pattern, or plain names, are also evaluated by the server, which then lists little else.
            exclude: Shell patterns of names to leave out.

        Yields:
            The files.

        Raises:
            ConfigurationError: A pattern cannot be used.
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server failed, or did not accept the filters or the order.

        Examples:
            ```python
            async for file in api.runs("my-team/my-project").files(include=["*.json"]):
                print(file.run, file.name, file.size)
            ```
        """
        return self._each_file(Selection(include, exclude))

    async def download(
        self,
        root: str | os.PathLike[str] | ObjectStore = ".",
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
        """Download the files of all runs concurrently, by default each to ``root/run_id/name``.

        One request lists many runs with the first files of each; runs with more files need further requests. Listing
        stays a few pages ahead of the transfers, and memory does not grow with the number of runs and files. If a file
        or a run fails, the others are still downloaded.

        Downloads into an object store need no local disk; see ``AsyncFiles.download``.

        Args:
            root: Local folder, created if it is missing; or a prefix in an object store, ``s3://bucket/prefix``,
                ``gs://...`` or ``az://...``, or a store of obstore (extra ``cloud``).
            layout: Folders below ``root`` for the files of each run, from ``{entity}``, ``{project}`` and ``{run}``,
                such as ``"{project}/{run}"``; ``""`` for none. Defaults to ``"{run}"``.
            include: Shell patterns for the file's name, ``*`` also matches ``/``; ``media/`` means the files of that
                folder. ``None`` (default) means all files, an empty list none. A single
                pattern, or plain names, are also evaluated by the server, which then lists little else.
            exclude: Shell patterns of names to leave out.
            existing: What to do with an existing file: ``verify``, keep it if size and md5 are right, else download it;
                ``keep`` it as it is; ``replace`` it; or count it as an ``error``.
            dry_run: Whether to only report what would be downloaded.
            raise_on_error: Whether to raise if files or runs failed, after the others are done.
            progress: Notified of the bytes as they arrive. ``True`` shows them, with rate, time left and the files in
                progress, if stderr is a terminal (which needs rich, extra ``cli``) or in a notebook; elsewhere it
                writes a line to stderr every ten seconds. The files are listed a second time for the total. Names are
                reported as ``run_id/name``.
            on_result: Called with each file's result, in the event loop's thread.

        Returns:
            The report.

        Raises:
            IncompleteDownloadError: Files failed, or runs could not be listed; it has the report.
            ConfigurationError: A pattern, ``existing`` or ``layout`` cannot be used.
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The listing of the runs failed.

        Examples:
            ```python
            runs = api.runs("my-team/my-project", filters={"state": "finished"})
            report = await runs.download("data", include=["*.json"], layout="{project}/{run}")
            print(report.downloaded, "downloaded,", report.kept, "kept")
            ```
        """
        check_existing(existing)
        selection = Selection(include, exclude)
        shown = None if dry_run else progress
        async with watching_many(shown, on_result, lambda: self._sizes(selection), selection) as (reporter, note):
            report = await self._client._gateway.download_many(
                self._listed(selection),
                read_root(root),
                layout=Layout(layout),
                selection=selection,
                existing=existing,
                dry_run=dry_run,
                progress=reporter,
                on_result=note,
            )
        return checked_report(report, existing, raise_on_error=raise_on_error)

    async def delete(
        self,
        *,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        all: str | None = None,
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DeletionReport:
        """Delete the selected files of all these runs on the server, in batches.

        The runs are those that the filters of ``AsyncApi.runs`` select. A selection that is empty deletes nothing.
        Every file of the runs is deleted only if the project is named in ``all``.

        All files are listed before the first is deleted; files that are added later stay. Each batch is checked: if the
        server does not confirm it, or its response is lost, the files are looked up before anything is retried. A file
        that no longer exists, or whose run no longer exists, counts as deleted.

        Memory grows by 10 to 50 bytes per file. If the call is cancelled, batches in progress may or may not be
        deleted; call it again for the rest.

        Args:
            include: Shell patterns for the file's name, ``*`` also matches ``/``; ``media/`` means the files of that
                folder. ``None`` (default) means every file, an empty list none.
            exclude: Shell patterns of names to leave out.
            all: The project, ``"team/project"``, if ``include`` is missing or matches every name, so that a forgotten
                selection does not delete a project's files. Not together with other patterns in ``include``.
            dry_run: Whether to only report what would be deleted; the report lists the first thousand files.
            raise_on_error: Whether to raise if files are left, after the others are deleted.
            progress: Notified of the files as they are deleted, with their bytes; ``True`` to show them, see
                ``download``. Names are reported as ``run_id/name``.
            on_result: Called with each file's result, in the event loop's thread.

        Returns:
            The report.

        Raises:
            IncompleteDeletionError: Files are left, or may be; it names them and has the report.
            ConfigurationError: Every file was selected and ``all`` does not name the project, or it was given beside
                a selection, or a pattern cannot be used; nothing was deleted.
            RunNotFoundError: The project does not exist or is not visible.
            AuthenticationError: The credentials are not accepted; nothing was deleted.
            PermissionDeniedError: The credentials do not suffice; nothing was deleted.
            ApiError: The listing failed; nothing was deleted.
            TransferError: The server did not respond; nothing was deleted.

        Examples:
            ```python
            runs = api.runs("my-team/my-project", filters={"state": "crashed"})
            planned = await runs.delete(include=["media/"], dry_run=True)
            print(planned.planned, "files,", planned.bytes, "bytes")
            await runs.delete(include=["media/"])
            ```
        """
        selection = Selection(include, exclude)
        await self._check_extent(selection, all)
        async with watching_deletion(progress, on_result) as (expect, note):
            pending = await self._pending_deletions(selection)
            expect(pending.files, pending.bytes)
            deletion = self._client._gateway.deletion(f"the project {pending.project}", note)
            if dry_run:
                return await deletion.preview(pending)
            try:
                return await deletion.carry_out(pending)
            except IncompleteDeletionError as error:
                if raise_on_error:
                    raise
                return error.report

    async def _check_extent(self, selection: Selection, all: str | None) -> None:
        if selection.is_narrow:
            if all is not None:
                raise ConfigurationError(
                    "all=... deletes every file of the runs, and include=... was given too; leave out one of them."
                )
            return
        project = await self._client._gateway.api.resolve(self._path)
        if all != str(project):
            raise ConfigurationError(
                "Nothing was deleted, since every file of the runs was selected. Select some by delete(include=...); "
                f"delete(all={str(project)!r}) deletes every file of the runs."
            )

    async def _pending_deletions(
        self, selection: Selection, on_page: Callable[[PendingDeletions], None] | None = None
    ) -> PendingDeletions:
        """List all files to delete."""
        pending = PendingDeletions(await self._client._gateway.api.resolve(self._path))
        async with aclosing(self._attributes(selection, urls=False)) as pages:
            async for run, files in pages:
                pending.add(run.path.run_id, files)
                if on_page is not None:
                    on_page(pending)
        return pending

    async def _files(self, selection: Selection) -> AsyncGenerator[list[AsyncFile]]:
        """List the files of all runs that a selection accepts, run by run and page by page; pages may be empty."""
        async with aclosing(self._attributes(selection)) as pages:
            async for run, files in pages:
                owner = AsyncRun(self._client, run.path, attrs.evolve(run, files=None))
                yield ShownList(AsyncFile._of(self._client, file, owner) for file in files)

    async def _each_file(self, selection: Selection) -> AsyncGenerator[AsyncFile]:
        async with aclosing(self._files(selection)) as pages:
            async for page in pages:
                for file in page:
                    yield file

    async def _sizes(self, selection: Selection) -> AsyncGenerator[Sequence[FileAttributes]]:
        """List the files of all runs, for the total of what is downloaded."""
        async with aclosing(self._attributes(selection, urls=False)) as pages:
            async for _, files in pages:
                yield files

    async def _attributes(
        self, selection: Selection, *, urls: bool = True
    ) -> AsyncGenerator[tuple[ListedRun, list[FileAttributes]]]:
        """List the files of all runs that a selection accepts, run by run and page by page; pages may be empty."""
        found = self._client._gateway.api.files_of_runs(
            self._listed(selection, urls=urls), names=selection.names, pattern=selection.pattern, urls=urls
        )
        async with aclosing(found) as pages:
            async for run, files in pages:
                yield run, [file for file in files if selection.accepts(file.name)]

    async def _listed(
        self, selection: Selection | None = None, *, urls: bool = True
    ) -> AsyncGenerator[tuple[ListedRun, ...]]:
        """List the runs; if files are selected, each run with its first files."""
        if selection is not None and selection.is_empty:
            return
        if selection is not None and self._share is not None:
            async with aclosing(self._of_share(self._share, selection, urls=urls)) as pages:
                async for named in pages:
                    yield tuple(named)
            return
        api = self._client._gateway.api
        walk = RunPages(await api.resolve(self._path), self._filters, self._order, per_page=self._per_page)
        if selection is not None:
            walk.files_each = max(1, PER_PAGE // self._per_page)
            walk.names, walk.pattern, walk.urls = selection.names, selection.pattern, urls
        async with aclosing(api.run_pages(walk)) as pages:
            async for page in pages:
                yield page

    async def _of_share(self, share: Share, selection: Selection, *, urls: bool) -> AsyncGenerator[Sequence[ListedRun]]:
        """List the ids of all runs, then the runs of the share with their files; of huge runs, a share of the files."""
        gateway = self._client._gateway
        path = await gateway.api.resolve(self._path)
        walk = RunPages(path, self._filters, self._order, per_page=PER_PAGE, counts=True)
        waiting: list[RunPath] = []
        async with aclosing(gateway.api.run_pages(walk)) as pages:
            async for page in pages:
                for run in page:
                    if (run.file_count or 0) >= HUGE_FILES:
                        yield [attrs.evolve(run, part=share)]
                    elif share.holds(run.path.run_id):
                        waiting.append(run.path)
                if len(waiting) >= RUNS_PER_PAGE:
                    batch, waiting = waiting, []
                    async with aclosing(gateway.named_runs(batch, selection, urls=urls)) as named:
                        async for listed in named:
                            yield listed
        async with aclosing(gateway.named_runs(waiting, selection, urls=urls)) as named:
            async for listed in named:
                yield listed


def parse_filters(filters: Mapping[str, object] | None) -> str:
    """Return filters as JSON for the server.

    Raises:
        ConfigurationError: They are not a mapping, or contain values that JSON does not support.
    """
    if filters is not None and not isinstance(filters, Mapping):
        raise ConfigurationError(f"filters is a mapping such as {{'state': 'finished'}}, not {filters!r}.")
    try:
        return json.dumps(dict(filters or {}))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"filters must contain only strings, numbers, lists and mappings, as JSON does: {error}."
        ) from None
