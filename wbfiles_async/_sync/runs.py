"""The runs of a project, blocking: a sequence that remembers what it has listed."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from wbfiles_async._async.file import AsyncFile
from wbfiles_async._async.run import AsyncRun
from wbfiles_async._async.runs import AsyncRuns
from wbfiles_async._download.selection import Selection
from wbfiles_async._html import ShownList
from wbfiles_async._models import Existing
from wbfiles_async._options import LAYOUT
from wbfiles_async._reports import DeletionReport, DownloadReport, FileResult
from wbfiles_async._sync.file import File
from wbfiles_async._sync.portal import iterate_blocking, run_blocking
from wbfiles_async._sync.run import Run
from wbfiles_async._sync.sequence import RememberedSequence

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from wbfiles_async._download.progress import Progress
    from wbfiles_async._sync.client import Client


class Runs(RememberedSequence[AsyncRun, Run]):
    """Blocking form of ``AsyncRuns``: iterable, with ``len()``, ``[i]``, ``[a:b]``. Lists each page once."""

    def __init__(self, client: Client | None, runs: AsyncRuns) -> None:
        super().__init__()
        self._client = client
        self._runs = runs

    def __repr__(self) -> str:
        return repr(self._runs).replace("AsyncRuns", "Runs", 1)

    def pages(self) -> Iterator[list[Run]]:
        """Iterate page by page; the next page is requested while one is used.

        Blocking form of ``AsyncRuns.pages``.

        Yields:
            The runs of a page.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server failed, or did not accept the filters or the order.
        """
        for page in iterate_blocking(self._runs.pages()):
            yield self._wrap(page)

    def to_list(self) -> list[Run]:
        """List all runs.

        Blocking form of ``AsyncRuns.to_list``.

        Returns:
            All runs of this listing, in its order.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server failed, or did not accept the filters or the order.
        """
        return self._wrap(run_blocking(self._runs.to_list))

    def first(self) -> Run | None:
        """Return the first run; ``None`` if there is none.

        Blocking form of ``AsyncRuns.first``.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server failed, or did not accept the filters or the order.
        """
        first = run_blocking(self._runs.first)
        return None if first is None else Run(self._client, first)

    def count(self) -> int:
        """Count the runs that the filters select; only their number is requested.

        Blocking form of ``AsyncRuns.count``.

        Returns:
            The number of runs.

        Raises:
            RunNotFoundError: The project does not exist or is not visible.
            ApiError: The server failed, or did not accept the filters.
        """
        return run_blocking(self._runs.count)

    def files(self, *, include: Iterable[str] | None = None, exclude: Iterable[str] = ()) -> Iterator[File]:
        """Iterate over the files of all runs, run by run; each knows its run.

        One request lists many runs with the first files of each; runs with more files need further requests. Listing
        stays a few pages ahead, and memory does not grow with the number of runs and files.

        Blocking form of ``AsyncRuns.files``.

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
            for file in api.runs("my-team/my-project").files(include=["*.json"]):
                print(file.run, file.name, file.size)
            ```
        """
        pages = iterate_blocking(self._runs._files(Selection(include, exclude)))
        return (self._file(file) for page in pages for file in page)

    def download(
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

        Downloads into an object store need no local disk; see ``Files.download``.

        Blocking form of ``AsyncRuns.download``.

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
            on_result: Called with each file's result, in the I/O thread.

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
            report = runs.download("data", include=["*.json"], layout="{project}/{run}")
            print(report.downloaded, "downloaded,", report.kept, "kept")
            ```
        """
        return run_blocking(
            self._runs.download,
            root,
            layout=layout,
            include=include,
            exclude=exclude,
            existing=existing,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
        )

    def delete(
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

        The runs are those that the filters of ``Api.runs`` select. A selection that is empty deletes nothing.
        Every file of the runs is deleted only if the project is named in ``all``.

        All files are listed before the first is deleted; files that are added later stay. Each batch is checked: if the
        server does not confirm it, or its response is lost, the files are looked up before anything is retried. A file
        that no longer exists, or whose run no longer exists, counts as deleted.

        Memory grows by 10 to 50 bytes per file. If the call is cancelled, batches in progress may or may not be
        deleted; call it again for the rest.

        Blocking form of ``AsyncRuns.delete``.

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
            on_result: Called with each file's result, in the I/O thread.

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
            planned = runs.delete(include=["media/"], dry_run=True)
            print(planned.planned, "files,", planned.bytes, "bytes")
            runs.delete(include=["media/"])
            ```
        """
        return run_blocking(
            self._runs.delete,
            include=include,
            exclude=exclude,
            all=all,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
        )

    def _file(self, file: AsyncFile) -> File:
        return File._of(self._client, file, None if file.run is None else Run(self._client, file.run))

    def _begin(self) -> AsyncGenerator[list[AsyncRun]]:
        return self._runs.pages()

    def _wrap(self, page: list[AsyncRun]) -> list[Run]:
        return ShownList(Run(self._client, run) for run in page)

    def _title(self) -> tuple[str, str]:
        return "Runs", str(self._runs._path)
