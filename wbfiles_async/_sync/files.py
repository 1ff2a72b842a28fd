"""The files of a run, blocking: a sequence that remembers what it has listed."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from wbfiles_async._async.file import AsyncFile
from wbfiles_async._async.files import AsyncFiles
from wbfiles_async._html import ShownList
from wbfiles_async._models import Existing
from wbfiles_async._reports import DeletionReport, DownloadReport, FileResult
from wbfiles_async._sync.file import File
from wbfiles_async._sync.portal import iterate_blocking, run_blocking
from wbfiles_async._sync.sequence import RememberedSequence

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from wbfiles_async._download.progress import Progress
    from wbfiles_async._sync.run import Run


class Files(RememberedSequence[AsyncFile, File]):
    """Blocking form of ``AsyncFiles``: iterable, with ``len()``, ``[i]``, ``[a:b]``. Lists each page once."""

    def __init__(self, run: Run, files: AsyncFiles) -> None:
        super().__init__()
        self._run = run
        self._files = files

    def __repr__(self) -> str:
        return repr(self._files).replace("AsyncFiles", "Files", 1)

    def pages(self) -> Iterator[list[File]]:
        """Iterate page by page; the next page is requested while one is used.

        Blocking form of ``AsyncFiles.pages``.

        Yields:
            The files of a page that match; possibly none.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        for page in iterate_blocking(self._files.pages()):
            yield self._wrap(page)

    def to_list(self) -> list[File]:
        """List all files.

        Blocking form of ``AsyncFiles.to_list``.

        Returns:
            All files of this listing, in its order.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        return self._wrap(run_blocking(self._files.to_list))

    def first(self) -> File | None:
        """Return the first file; ``None`` if there is none.

        Blocking form of ``AsyncFiles.first``.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        first = run_blocking(self._files.first)
        return None if first is None else File._of(self._run._client, first, self._run)

    def count(self) -> int:
        """Count the files that match. Without any filter only their number is requested.

        Blocking form of ``AsyncFiles.count``.

        Returns:
            The number of files.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        return run_blocking(self._files.count)

    def download(
        self,
        root: str | os.PathLike[str] | ObjectStore = ".",
        *,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        existing: Existing = "verify",
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DownloadReport:
        """Download all files concurrently, each to ``root/name``.

        Each file appears at its path only when it is complete and verified. If one file fails, the
        others are still downloaded, unless all would fail for the same reason, such as a full or read-only disk.
        Memory grows by 12 to 24 bytes per file, which detect names that are the same file on some file system. Of such
        names in one page of the listing none is written; a later one is refused, and the earlier one stays.

        With ``existing="verify"``, files that were verified before and are unchanged since are not read again: the
        file ``.wbfiles-state`` below the root remembers them (see ``TransferOptions.remember``).

        **Into an object store** the bytes go without a local disk. An object appears only when it is complete and its
        md5 is right. A download that fails or is cancelled leaves no object and no uploaded parts, unless the store
        becomes unreachable; then they stay until the bucket's own rules remove them. The md5 that W&B states is stored
        in the object's metadata, as ``wbfilesmd5``. With ``existing="verify"`` an object is right if that md5 is equal,
        or if its length and its ETag are, where the ETag is an md5. A name can be any key of up to 1,024 bytes. An
        interrupted file is not resumed. Credentials come from the environment, as for the store's own tools, or from
        the given store.

        Blocking form of ``AsyncFiles.download``.

        Args:
            root: Local folder, created if it is missing; or a prefix in an object store, ``s3://bucket/prefix``,
                ``gs://...`` or ``az://...``, or a store of obstore (extra ``cloud``).
            include: Shell patterns for the file's name, ``*`` also matches ``/``; ``media/`` means the files of that
                folder. ``None`` (default) means all files, an empty list none.
            exclude: Shell patterns of names to leave out.
            existing: What to do with an existing file: ``verify``, keep it if size and md5 are right, else download it;
                ``keep`` it as it is; ``replace`` it; or count it as an ``error``.
            dry_run: Whether to only report what would be downloaded.
            raise_on_error: Whether to raise if files failed, after the others are done.
            progress: Notified of the bytes as they arrive. ``True`` shows them, with rate, time left and the files in
                progress, if stderr is a terminal (which needs rich, extra ``cli``) or in a notebook; elsewhere it
                writes a line to stderr every ten seconds. The files are listed a second time for the total.
            on_result: Called with each file's result, in the I/O thread.

        Returns:
            The report.

        Raises:
            IncompleteDownloadError: Files failed; it has the report.
            ConfigurationError: A pattern, ``existing`` or ``root`` cannot be used, or ``progress=True`` cannot, since
                there is a terminal and rich is not installed; or obstore is needed and not installed.
            ObjectStoreError: The object store has no such bucket, or does not accept the credentials.
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The listing failed.

        Examples:
            ```python
            files = api.run("my-team/my-project/1a2b3c4d").files(pattern="media/%")
            report = files.download("data", existing="keep")
            print(report)
            ```
        """
        return run_blocking(
            self._files.download,
            root,
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
        all: bool = False,
        dry_run: bool = False,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DeletionReport:
        """Delete the selected files on the server, in batches.

        Files are selected by ``include`` and ``exclude``, or before by the arguments of ``Run.files``. An empty
        selection deletes nothing. Every file of the run is deleted only with ``all=True``.

        All files are listed before the first is deleted; files that are added later stay. Each batch is checked: if the
        server does not confirm it, or its response is lost, the files are looked up before anything is retried. A file
        that no longer exists counts as deleted.

        Memory grows by 10 to 50 bytes per file. If the call is cancelled, batches in progress may or may not be
        deleted; call it again for the rest.

        Blocking form of ``AsyncFiles.delete``.

        Args:
            include: Shell patterns for the file's name, ``*`` also matches ``/``. ``None`` (default) means every file
                that was selected before, an empty list none.
            exclude: Shell patterns of names to leave out.
            all: Whether to delete every file of the run. Defaults to false, so that a forgotten selection is an error;
                not together with a selection.
            dry_run: Whether to only report what would be deleted; the report lists the first thousand files.
            on_result: Called with each file's result, in the I/O thread.

        Returns:
            The report; none of the selected files exists any more.

        Raises:
            IncompleteDeletionError: Files are left, or may be; it names them and has the report.
            ConfigurationError: Neither a selection nor ``all=True`` was given, or both were, or a pattern cannot be
                used; nothing was deleted.
            RunNotFoundError: The run or its project does not exist or is not visible.
            AuthenticationError: The credentials are not accepted; nothing was deleted.
            PermissionDeniedError: The credentials do not suffice; nothing was deleted.
            ApiError: The listing failed; nothing was deleted.
            TransferError: The server did not respond; nothing was deleted.

        Examples:
            ```python
            files = api.run("my-team/my-project/1a2b3c4d").files()
            planned = files.delete(include=["media/"], dry_run=True)
            print(planned.planned, "files,", planned.bytes, "bytes")
            files.delete(include=["media/"])
            ```
        """
        return run_blocking(
            self._files.delete, include=include, exclude=exclude, all=all, dry_run=dry_run, on_result=on_result
        )

    def _begin(self) -> AsyncGenerator[list[AsyncFile]]:
        return self._files.pages()

    def _wrap(self, page: list[AsyncFile]) -> list[File]:
        return ShownList(File._of(self._run._client, file, self._run) for file in page)

    def _title(self) -> tuple[str, str]:
        return "Files", self._files._title()
