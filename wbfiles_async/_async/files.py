"""The files of a run, listed lazily, to be iterated and downloaded together."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

import attrs

from wbfiles_async._async.file import AsyncFile
from wbfiles_async._bucket.roots import read_root
from wbfiles_async._display.watching import watching_many
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.match import Match
from wbfiles_async._graphql.pending_deletions import PendingDeletions
from wbfiles_async._html import ShownList, listing_html
from wbfiles_async._models import EXISTING, Existing, FileAttributes, ProjectPath
from wbfiles_async._reports import DeletionReport, DownloadReport, FileResult
from wbfiles_async.errors import ConfigurationError, IncompleteDownloadError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from wbfiles_async._async.client import Client
    from wbfiles_async._async.run import AsyncRun
    from wbfiles_async._download.progress import Progress
    from wbfiles_async._gateway import Gateway


@attrs.frozen(eq=False, repr=False)
class AsyncFiles:
    """The files of a run, as ``AsyncRun.files`` selects them. Each iteration lists them again.

    Files added or removed while the pages are read may or may not appear; a file appears once.
    """

    _client: Client | None
    _run: AsyncRun
    _names: tuple[str, ...] | None
    _pattern: str | None
    _match: Match | None
    _per_page: int

    def __repr__(self) -> str:
        return f"<AsyncFiles of {self._run._path}>"

    def _repr_html_(self) -> str:
        return listing_html("Files", self._title(), (), complete=False)

    def _title(self) -> str:
        return ", ".join(part for part in (str(self._run._path), self._selection()) if part)

    def _selection(self) -> str:
        """Describe the selected files, without values that could contain a signed URL."""
        words = []
        if self._names is not None:
            more = f" and {len(self._names) - 3:,} more" if len(self._names) > 3 else ""
            words.append(f"names {', '.join(self._names[:3])}{more}" if self._names else "no names")
        if self._pattern is not None:
            words.append(f"names like {self._pattern}")
        if self._match is not None:
            words.append(f"of a certain {', '.join(attribute for attribute, _ in self._match.wanted)}")
        return "; ".join(words)

    async def __aiter__(self) -> AsyncGenerator[AsyncFile]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for file in page:
                    yield file

    async def pages(self) -> AsyncGenerator[list[AsyncFile]]:
        """Iterate page by page; the next page is requested while one is used.

        Yields:
            The files of a page that match; possibly none.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        async with aclosing(self._attributes()) as pages:
            async for page in pages:
                yield ShownList(AsyncFile._of(self._client, attributes, self._run) for attributes in page)

    async def to_list(self) -> list[AsyncFile]:
        """List all files.

        Returns:
            All files of this listing, in its order.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        return ShownList([file async for file in self])

    async def first(self) -> AsyncFile | None:
        """Return the first file; ``None`` if there is none.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        async with aclosing(self.__aiter__()) as files:
            async for file in files:
                return file
        return None

    async def count(self) -> int:
        """Count the files that match. Without any filter only their number is requested.

        Returns:
            The number of files.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server failed.
        """
        if self._selects_all:
            count = await self._gateway().api.count_all(self._run._path)
            if count is not None:
                return count
        count = 0
        async with aclosing(self._attributes()) as pages:
            async for page in pages:
                count += len(page)
        return count

    async def download(
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
            on_result: Called with each file's result, in the event loop's thread.

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
            report = await files.download("data", existing="keep")
            print(report)
            ```
        """
        check_existing(existing)
        selection = Selection(include, exclude)
        shown = None if dry_run else progress
        async with (
            watching_many(shown, on_result, lambda: self._attributes(selection), selection) as (reporter, note),
            aclosing(self._attributes(selection)) as pages,
        ):
            report = await self._gateway().download_all(
                self._run._path,
                pages,
                read_root(root),
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
        all: bool = False,
        dry_run: bool = False,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DeletionReport:
        """Delete the selected files on the server, in batches.

        Files are selected by ``include`` and ``exclude``, or before by the arguments of ``AsyncRun.files``. An empty
        selection deletes nothing. Every file of the run is deleted only with ``all=True``.

        All files are listed before the first is deleted; files that are added later stay. Each batch is checked: if the
        server does not confirm it, or its response is lost, the files are looked up before anything is retried. A file
        that no longer exists counts as deleted.

        Memory grows by 10 to 50 bytes per file. If the call is cancelled, batches in progress may or may not be
        deleted; call it again for the rest.

        Args:
            include: Shell patterns for the file's name, ``*`` also matches ``/``. ``None`` (default) means every file
                that was selected before, an empty list none.
            exclude: Shell patterns of names to leave out.
            all: Whether to delete every file of the run. Defaults to false, so that a forgotten selection is an error;
                not together with a selection.
            dry_run: Whether to only report what would be deleted; the report lists the first thousand files.
            on_result: Called with each file's result, in the event loop's thread.

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
            planned = await files.delete(include=["media/"], dry_run=True)
            print(planned.planned, "files,", planned.bytes, "bytes")
            await files.delete(include=["media/"])
            ```
        """
        selection = Selection(include, exclude)
        self._check_extent(selection, all=all)
        pending = await self._pending_deletions(selection)
        deletion = self._gateway().deletion(f"the run {self._run._path}", on_result)
        return await deletion.preview(pending) if dry_run else await deletion.carry_out(pending)

    def _check_extent(self, selection: Selection, *, all: bool) -> None:
        chosen = not (self._selects_all and selection.selects_all)
        if chosen and all:
            raise ConfigurationError(
                "all=True deletes every file of the run, and a selection was given too; leave out one of them."
            )
        if not chosen and not all:
            raise ConfigurationError(
                "Nothing was deleted, since no files were selected. Select some by files(names=..., pattern=..., "
                "match=...) or delete(include=..., exclude=...); delete(all=True) deletes every file of the run."
            )

    @property
    def _selects_all(self) -> bool:
        return self._names is None and self._pattern is None and self._match is None

    @property
    def _selects_none(self) -> bool:
        return self._names == () or (self._pattern is not None and not self._pattern.strip())

    async def _pending_deletions(self, selection: Selection) -> PendingDeletions:
        # To the end, since deletions between two pages would move later files behind the cursor.
        run = self._run._path
        pending = PendingDeletions(ProjectPath(run.entity, run.project))
        async with aclosing(self._attributes()) as pages:
            async for page in pages:
                pending.add(run.run_id, (file for file in page if selection.accepts(file.name)))
        return pending

    async def _attributes(self, selection: Selection | None = None) -> AsyncGenerator[list[FileAttributes]]:
        """List the files, with as much of the selection as possible evaluated by the server."""
        if self._selects_none or (selection is not None and selection.is_empty):
            return  # to the server, an empty list of names and an empty pattern mean every file
        names, pattern, match = self._names or (), self._pattern, self._match
        if not names and pattern is None:
            if match is not None and match.name is not None:
                names = (match.name,)
            elif selection is not None:
                names, pattern = selection.names, selection.pattern
        requested = None if self._names is None else frozenset(self._names)  # in case the server ignores the names
        pages = self._gateway().api.pages(self._run._path, names=names, pattern=pattern, per_page=self._per_page)
        async with aclosing(pages):
            async for page in pages:
                yield [
                    attributes
                    for attributes in page
                    if (match is None or match.accepts(attributes))
                    and (requested is None or attributes.name in requested)
                ]

    def _gateway(self) -> Gateway:
        return self._run._gateway()


def check_existing(existing: Existing) -> None:
    """Check the argument ``existing``.

    Raises:
        ConfigurationError: It is not one of the values.
    """
    if existing not in EXISTING:
        raise ConfigurationError(f"existing={existing!r} is not one of {', '.join(map(repr, EXISTING))}.")


def checked_report(report: DownloadReport, existing: Existing, *, raise_on_error: bool) -> DownloadReport:
    """Return the report.

    Raises:
        IncompleteDownloadError: It has failures, and ``raise_on_error`` is true.
    """
    if report.failed and raise_on_error:
        raise IncompleteDownloadError(_summary(report, existing), report=report) from report.stopped
    return report


def _summary(report: DownloadReport, existing: Existing) -> str:
    first = report.failures[0]
    others = f", and {report.failed - 1} more" if report.failed > 1 else ""
    again = "call again" if existing in ("verify", "keep") else "call again with existing='verify'"
    end = ""
    if report.stopped is not None:
        end = " It stopped there, since all further files would fail for the same reason" + (
            f"; {report.skipped} listed files were not started." if report.skipped else "."
        )
    return (
        f"{report.failed} of {report.files} files could not be downloaded to {report.root}: "
        f"run {first.run}: {first.error}{others}."
        f"{end} What is done is in place; {again} to continue with the rest. The report lists each failure."
    )
