"""The upload operations of a client: files and folders, one file, or bytes."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import attrs

from wbfiles_async._clock import Clock
from wbfiles_async._disk.executor import Disk
from wbfiles_async._disk.reading import LocalFile
from wbfiles_async._download.progress import Progress
from wbfiles_async._download.results import Results
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.api import WandbApi
from wbfiles_async._graphql.uploads import RunUploads
from wbfiles_async._models import Existing, FileAttributes, RunPath
from wbfiles_async._options import TransferOptions
from wbfiles_async._reports import FileResult, UploadReport
from wbfiles_async._store.writer import StoreWriter
from wbfiles_async._upload.bulk import BulkUpload, failure_of
from wbfiles_async._upload.content import BytesContent, FileContent, UploadContent
from wbfiles_async._upload.plan import ToUpload, batches_of, find_files, read_one, read_paths
from wbfiles_async._upload.uploader import Upload, Uploader
from wbfiles_async.errors import TransferError

__all__ = ["Uploads"]


@attrs.frozen(eq=False, kw_only=True)
class Uploads:
    """Uploads files to runs.

    Attributes:
        api: W&B's API.
        base_url: The API's URL.
        writer: Sends the bytes.
        disk: The threads that read local files.
        options: How transfers behave.
        clock: The time.
    """

    api: WandbApi
    base_url: str
    writer: StoreWriter
    disk: Disk
    options: TransferOptions
    clock: Clock

    async def paths(
        self,
        run: RunPath,
        paths: Iterable[str | os.PathLike[str]],
        root: str | os.PathLike[str],
        *,
        selection: Selection,
        existing: Existing,
        dry_run: bool,
        progress: Progress | None,
        on_result: Callable[[FileResult], None] | None,
    ) -> UploadReport:
        """Upload files and folders, each file under its name below a root; see ``BulkUpload``."""
        batches = await self._batches(paths, root, selection)
        return await self._bulk(run, batches, existing, Results(progress, on_result), dry_run=dry_run)

    async def many(
        self,
        run: RunPath,
        files: Iterable[ToUpload],
        *,
        existing: Existing,
        progress: Progress | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> UploadReport:
        """Upload local files and bytes under names of the caller's choice, each taken as it is."""
        return await self._bulk(run, batches_of(files), existing, Results(progress, on_result))

    async def listing(
        self, paths: Iterable[str | os.PathLike[str]], root: str | os.PathLike[str], selection: Selection
    ) -> AsyncGenerator[list[FileAttributes]]:
        """List the files of ``paths``, for the total."""
        batches = await self._batches(paths, root, selection)
        while (batch := await self.disk.run(next, batches, None)) is not None:
            yield [FileAttributes(id="", name=found.name, size_bytes=found.size) for found in batch]

    async def file(
        self,
        run: RunPath,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str],
        *,
        existing: Existing,
        progress: Progress | None,
    ) -> FileAttributes:
        """Upload one local file under its name below a root.

        Returns:
            The server's entry.
        """
        found = await self.disk.run(read_one, path, root)
        return await self._one(run, found.name, self._content_of(found.path), found.size, existing, progress)

    async def path(
        self, run: RunPath, name: str, path: Path, *, existing: Existing, progress: Progress | None = None
    ) -> FileAttributes:
        """Upload a local file under any name, used literally; otherwise like ``file``."""
        return await self._one(run, name, self._content_of(path), 0, existing, progress)

    async def data(
        self, run: RunPath, name: str, data: bytes | memoryview, *, existing: Existing, progress: Progress | None = None
    ) -> FileAttributes:
        """Upload bytes, which must not change meanwhile, under any name, used literally; like ``file``."""
        content = BytesContent(data, self.disk, self.options.verify)
        return await self._one(run, name, content, content.size, existing, progress)

    async def _batches(
        self, paths: Iterable[str | os.PathLike[str]], root: str | os.PathLike[str], selection: Selection
    ) -> Iterator[list[ToUpload]]:
        return batches_of(find_files(await self.disk.run(read_paths, paths, root), selection))

    async def _bulk(
        self,
        run: RunPath,
        batches: Iterator[list[ToUpload]],
        existing: Existing,
        results: Results,
        *,
        dry_run: bool = False,
    ) -> UploadReport:
        uploader = await self._uploader(run, existing, results)
        bulk = BulkUpload(uploader=uploader, disk=self.disk, results=results, dry_run=dry_run, clock=self.clock)
        return await bulk.run(batches)

    async def _one(
        self,
        run: RunPath,
        name: str,
        content: UploadContent,
        size: int,
        existing: Existing,
        progress: Progress | None,
    ) -> FileAttributes:
        upload = Upload(name=name, content=content, size=size)
        uploader = await self._uploader(run, existing, Results(progress, None))
        await uploader.upload([upload])
        if upload.error is not None:
            raise upload.error
        if upload.listed is None:
            raise TransferError(f"{name}: nothing is known of it after the upload.", name=name)
        return upload.listed

    def _content_of(self, path: Path) -> FileContent:
        return FileContent(LocalFile(path, follow_links=True), self.disk, self.options.verify)

    async def _uploader(self, run: RunPath, existing: Existing, results: Results) -> Uploader:
        return Uploader(
            uploads=RunUploads(self.api, await self.api.resolve(run), self.base_url),
            writer=self.writer,
            existing=existing,
            options=self.options,
            clock=self.clock,
            failure_of=partial(failure_of, results),
            progress=results.progress_for(""),
        )
