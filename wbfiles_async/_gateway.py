"""The connection of one client to W&B: settings, the session in the event loop, and the operations of objects."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

import attrs

from wbfiles_async._auth.credentials import Credentials
from wbfiles_async._bucket.roots import BucketRoot
from wbfiles_async._clock import Clock
from wbfiles_async._download.bulk import BulkDownload
from wbfiles_async._download.layout import Layout
from wbfiles_async._download.many_runs import Bulk, ManyRuns
from wbfiles_async._download.one_file import OneFile
from wbfiles_async._download.planned import ListedFiles
from wbfiles_async._download.progress import Progress
from wbfiles_async._download.random_access import RandomAccess
from wbfiles_async._download.results import Results
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.api import WandbApi
from wbfiles_async._graphql.deletion import Deletion
from wbfiles_async._graphql.named_runs import NamedRuns
from wbfiles_async._graphql.runs_page import ListedRun
from wbfiles_async._http.client import HttpOptions
from wbfiles_async._models import Existing, FileAttributes, RunPath
from wbfiles_async._options import TransferOptions
from wbfiles_async._reports import DownloadReport, FileResult
from wbfiles_async._retry.budget import RetryBudget
from wbfiles_async._session import Session, open_session
from wbfiles_async._settings import Settings
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async._upload.uploads import Uploads
from wbfiles_async.errors import ConfigurationError

if TYPE_CHECKING:
    from wbfiles_async._bucket.bucket import Bucket
    from wbfiles_async._bucket.bulk import BucketDownload

__all__ = ["Gateway"]

# anyio would import it at its first use, in the I/O thread: a process that is forked meanwhile would wait forever for
# the import, which no thread of it continues.
import_module("anyio._backends._asyncio")

_inherited: list[Session] = []
"""Sessions of a parent process. Kept, never closed: closing would send on connections that the parent uses."""


class Gateway:
    """The connection of one client to W&B. Belongs to one event loop from its first use.

    Args:
        settings: The URL of the API, and the defaults of run paths.
        options: The options of transfers.
        credentials: The credentials; ``None`` if an injected client has its own.
        http_options: The options of requests.

    Attributes:
        api: W&B's API.
        clock: The time; may be set before the first use.
    """

    def __init__(
        self,
        settings: Settings,
        options: TransferOptions,
        credentials: Credentials | None,
        http_options: HttpOptions,
    ) -> None:
        self.settings = settings
        self.options = options
        self.clock = Clock()
        self.api = WandbApi(lambda: self.session().graphql, settings.entity or "")
        self._credentials = credentials
        self._http_options = http_options
        self._session: Session | None = None
        self._closed = False
        self._parent: Gateway | None = None
        self._children = WeakSet[Gateway]()

    def session(self) -> Session:
        """Return the session of the running event loop, opened at the first call.

        Raises:
            ConfigurationError: The client is closed, or belongs to another event loop.
        """
        if self._closed:
            raise ConfigurationError("This client is closed. Make a new one, or close it later.")
        if self._session is not None and self._session.inherited:
            _inherited.append(self._session)
            self._session = None
        if self._session is None:
            self._session = open_session(
                self.settings,
                self.options,
                self._credentials,
                http_options=self._http_options,
                clock=self.clock,
                shared=None if self._parent is None else self._parent.session(),
            )
        self._session.check_loop()
        return self._session

    def with_options(self, settings: Settings, options: TransferOptions) -> Gateway:
        """Return a gateway with other options over the same connections, which is closed with this one."""
        other = Gateway(settings, options, self._credentials, self._http_options)
        other.clock = self.clock
        other._parent = self._parent or self
        other._parent._children.add(other)
        return other

    async def aclose(self) -> None:
        """Close the session; a second call does nothing."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None and session.inherited:
            _inherited.append(session)
        elif session is not None:
            await session.aclose()
        for child in [*self._children]:
            await child.aclose()

    def deletion(self, where: str, on_result: Callable[[FileResult], None] | None = None) -> Deletion:
        """Prepare the deletion of files of a run or project, whose name in messages is ``where``. Makes no request."""
        return Deletion(self.api, self.options, self.clock, where, on_result)

    def one_file(self, attributes: FileAttributes, run: RunPath | None) -> OneFile:
        """Prepare the transfer of one file. Makes no request."""

        async def look_up() -> RemoteFile:
            return self._file(attributes if run is None else await self.api.look_up(run, attributes.name), run)

        pickled = attributes.stripped and run is not None  # it no longer has signed URLs
        known = None if pickled else self._file(attributes, run)
        session = self.session()
        return OneFile(session.reader, session.small_files, attributes.name, known, look_up)

    def random_access(self, attributes: FileAttributes, run: RunPath | None) -> RandomAccess:
        """Prepare random access to one file. Makes no request."""

        async def prepare() -> RemoteFile:
            if attributes.stripped and run is not None:
                return self._file(await self.api.look_up(run, attributes.name), run)
            return self._file(attributes, run)

        return RandomAccess(lambda: self.session().reader, prepare)

    def named_runs(
        self, paths: Sequence[RunPath], selection: Selection, *, urls: bool = True
    ) -> AsyncGenerator[Sequence[ListedRun]]:
        """List runs with the first of their files; see ``NamedRuns``."""
        return NamedRuns(self.api, selection.names, selection.pattern, urls=urls).pages(paths)

    async def download_all(
        self,
        run: RunPath,
        pages: AsyncIterator[Sequence[FileAttributes]],
        root: Path | BucketRoot,
        *,
        selection: Selection,
        existing: Existing,
        dry_run: bool,
        progress: Progress | None,
        on_result: Callable[[FileResult], None] | None,
    ) -> DownloadReport:
        """Download many files of a run; see ``BulkDownload``."""

        async def listed() -> AsyncGenerator[list[ListedFiles]]:
            path = await self.api.resolve(run)
            async for page in pages:
                yield [ListedFiles(path, page)]

        bulk = self._bulk(root, selection, existing, dry_run, progress, on_result)
        async with aclosing(listed()) as found:
            return await bulk.run(found)

    async def download_many(
        self,
        runs: AsyncGenerator[Sequence[ListedRun]],
        root: Path | BucketRoot,
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
        return await ManyRuns(self.api, layout, selection).download(runs, bulk)

    def uploads(self) -> Uploads:
        """Prepare uploads to runs. Makes no request."""
        session = self.session()
        return Uploads(
            api=self.api,
            base_url=self.settings.base_url,
            writer=session.writer,
            disk=session.disk,
            options=self.options,
            clock=self.clock,
        )

    async def download_listed(
        self,
        listed: AsyncIterator[Sequence[ListedFiles]],
        root: Path,
        *,
        progress: Progress | None,
        on_result: Callable[[FileResult], None] | None,
    ) -> DownloadReport:
        """Download files of runs to paths of the caller's choice below a folder, without a cache of verified files.

        Existing files are replaced unless they are right.
        """
        selection = Selection(None, ())
        bulk = self._bulk(root, selection, "verify", False, progress, on_result, remember=False)
        return await bulk.run(listed)

    def _bulk(
        self,
        root: Path | BucketRoot,
        selection: Selection,
        existing: Existing,
        dry_run: bool,
        progress: Progress | None,
        on_result: Callable[[FileResult], None] | None,
        *,
        remember: bool = True,
    ) -> Bulk:
        reader, results = self.session().reader, Results(progress, on_result)
        if isinstance(root, BucketRoot):
            bucket, download_to = open_bucket(root, self.options)
            return download_to(
                reader=reader,
                file_of=self._file,
                bucket=bucket,
                selection=selection,
                existing=existing,
                dry_run=dry_run,
                results=results,
            )
        if not remember:
            reader = attrs.evolve(reader, options=attrs.evolve(reader.options, remember=False))
        return BulkDownload(
            reader=reader,
            file_of=self._file,
            root=root,
            selection=selection,
            existing=existing,
            dry_run=dry_run,
            results=results,
        )

    def _file(self, attributes: FileAttributes, run: RunPath | None) -> RemoteFile:
        return RemoteFile(
            attributes,
            run=str(run or ""),
            budget=RetryBudget(self.options, self.clock),
            relist=None if run is None else lambda: self.api.look_up(run, attributes.name),
            allows_plain_http=self.options.insecure_stores or self.settings.base_url[:6].lower() != "https:",
        )


def open_bucket(root: BucketRoot, options: TransferOptions) -> tuple[Bucket, type[BucketDownload]]:
    """Import the support for object stores, and open a root in one.

    Raises:
        ConfigurationError: The package obstore is not installed, or the root cannot be used.
    """
    try:
        from wbfiles_async._bucket.bucket import Bucket
        from wbfiles_async._bucket.bulk import BucketDownload
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "obstore":
            raise
        raise ConfigurationError(
            f"{root.url} is in an object store, which needs the package obstore: pip install 'wbfiles-async[cloud]'."
        ) from error
    return Bucket.open(root, options), BucketDownload
