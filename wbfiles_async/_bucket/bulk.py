"""Downloads many files into an object store, without a local disk, and reports on each."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from wbfiles_async._bucket.bucket import Bucket
from wbfiles_async._disk.names import local_parts
from wbfiles_async._download.collisions import Collisions
from wbfiles_async._download.contents import read_bytes, stream
from wbfiles_async._download.planned import ListedFiles
from wbfiles_async._download.results import Results, unexpected
from wbfiles_async._download.selection import Selection
from wbfiles_async._models import Existing, FileAttributes, FileStatus, RunPath
from wbfiles_async._reports import DownloadReport, FileResult
from wbfiles_async._store.reader import StoreReader
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async._tasks import open_task_group
from wbfiles_async.errors import (
    DestinationExistsError,
    IntegrityError,
    ObjectChangedError,
    ObjectStoreError,
    UnsafePathError,
    WBFilesError,
)

__all__ = ["BucketDownload"]

AT_ONCE: Final = 16
"""Files in progress: enough to hide a store's latency, few enough to use little memory."""

LARGE_AT_ONCE: Final = 4
"""Large files in progress: each holds a few parts of 8 MiB in memory."""

WHOLE_BYTES: Final = 4 << 20
"""Files up to this size are held in memory and written with one request, so that on S3 their ETag is their md5."""

TRIES: Final = 2
"""Attempts at a large file with a wrong length or md5."""

LONGEST_KEY: Final = 1024
"""Maximum bytes of a key of S3, GCS and Azure."""


@attrs.frozen
class _Planned:
    """One file to download.

    Attributes:
        attributes: Its attributes on the server.
        key: Its key below the root.
        listed: The files that it was listed with.
    """

    attributes: FileAttributes
    key: str
    listed: ListedFiles

    def result(
        self,
        status: FileStatus,
        bucket: Bucket,
        *,
        size: int | None = None,
        verified: bool = False,
        parts: int = 0,
        error: WBFilesError | None = None,
    ) -> FileResult:
        """Return the result of the file."""
        return FileResult(
            name=self.attributes.name,
            status=status,
            size=(self.attributes.size_bytes or 0) if size is None else size,
            verified=verified,
            parts=parts,
            error=error,
            run=str(self.listed.run),
            url=bucket.place_of(self.key),
            md5=self.attributes.md5,
        )


@attrs.define(eq=False, kw_only=True)
class BucketDownload:
    """The download of many files into an object store.

    Attributes:
        reader: Reads their bytes.
        file_of: Returns a file of a run to read from.
        bucket: The destination.
        selection: The selection.
        existing: What to do with an existing object.
        dry_run: Whether to only report what would be done.
        results: Records each result.
    """

    reader: StoreReader
    file_of: Callable[[FileAttributes, RunPath], RemoteFile]
    bucket: Bucket
    selection: Selection
    existing: Existing
    dry_run: bool
    results: Results
    _may_hold: bool = attrs.field(default=True, init=False)
    _large: anyio.Semaphore = attrs.field(factory=lambda: anyio.Semaphore(LARGE_AT_ONCE), init=False)
    _collisions: Collisions = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._collisions = Collisions(secrets.token_bytes(16), lambda _: False, nests=True)

    async def run(self, pages: AsyncIterator[Sequence[ListedFiles]]) -> DownloadReport:
        """Download the listed files; a file's failure does not stop the others, a missing bucket does.

        Raises:
            ObjectStoreError: Nothing can be written there.
            WBFilesError: The listing failed; files in progress have been completed or cleaned up.
        """
        clock = self.reader.clock
        began = clock.monotonic()
        self._may_hold = not await self.bucket.is_empty()
        send, receive = anyio.create_memory_object_stream[_Planned]()
        async with receive, open_task_group() as group:
            group.start_soon(self._plan, pages, send)
            for _ in range(AT_ONCE):
                group.start_soon(self._work, receive)
        return self.results.report(self.bucket.url, clock.monotonic() - began)

    async def _plan(self, pages: AsyncIterator[Sequence[ListedFiles]], ready: MemoryObjectSendStream[_Planned]) -> None:
        async with ready:
            async for page in pages:
                planned = self._plan_page(page)
                for number, item in enumerate(planned):
                    if self.results.stopped is not None:
                        self.results.skip(len(planned) - number)
                        return
                    await ready.send(item)
                if self.results.stopped is not None:
                    return

    def _plan_page(self, page: Sequence[ListedFiles]) -> list[_Planned]:
        """Plan the selected files of a page."""
        items = list[_Planned]()
        for listed in page:
            for attributes in listed.files:
                if self.selection.accepts(attributes.name):
                    try:
                        items.append(_Planned(attributes, self._key(attributes.name, listed.folder), listed))
                    except UnsafePathError as error:
                        self._refuse(listed, error, attributes)
            if listed.error is not None:
                self._refuse(listed, listed.error)
        admitted = []
        collisions = self._collisions.admit([tuple(item.key.split("/")) for item in items])
        for item, collision in zip(items, collisions, strict=True):
            if collision is None:
                admitted.append(item)
            else:
                self.results.add(item.result("failed", self.bucket, error=collision.error(item.attributes.name)))
        return admitted

    def _key(self, name: str, folder: tuple[str, ...]) -> str:
        portable = self.reader.options.portable_names
        if portable and folder:
            local_parts("/".join(folder), portable=True)
        key = "/".join(folder + local_parts(name, portable=portable))
        if len(key.encode()) > LONGEST_KEY:
            raise UnsafePathError(
                f"the remote file {name[:200]!r} cannot be written as it is named: its key would be longer than "
                f"{LONGEST_KEY} bytes",
                name=name,
            )
        return key

    def _refuse(self, listed: ListedFiles, error: WBFilesError, attributes: FileAttributes | None = None) -> None:
        name, size = (attributes.name, attributes.size_bytes) if attributes else ("", 0)
        self.results.add(FileResult(name=name, status="failed", size=size or 0, run=str(listed.run), error=error))

    async def _work(self, ready: MemoryObjectReceiveStream[_Planned]) -> None:
        async for item in ready:
            if self.results.stopped is not None:
                self.results.skip(1)
                continue
            try:
                result = await self._result_of(item)
            except Exception as error:
                if self.results.is_callers(error):
                    raise
                known = error if isinstance(error, WBFilesError) else unexpected(item.attributes.name, error)
                result = item.result("failed", self.bucket, error=known)
                if isinstance(known, ObjectStoreError) and known.concerns_all:
                    self._stop(known)
            self.results.add(result)

    def _stop(self, error: ObjectStoreError) -> None:
        self.results.stopped = self.results.stopped or error

    async def _result_of(self, item: _Planned) -> FileResult:
        file = self.file_of(item.attributes, item.listed.run)
        if self._may_hold and self.existing != "replace" and (stays := await self._kept(item, file)) is not None:
            return stays
        if self.dry_run:
            return item.result("planned", self.bucket)
        progress, name = self.results.progress_for(item.listed.label), file.name
        if progress is None:
            return await self._download(item, file, lambda _: None)
        progress.started(name, file.size)
        try:
            result = await self._download(item, file, lambda count: progress.advanced(name, count))
        except Exception as error:
            progress.failed(name, error)
            raise
        progress.finished(name)
        return result

    async def _kept(self, item: _Planned, file: RemoteFile) -> FileResult | None:
        """Decide whether an existing object is kept."""
        found = await self.bucket.look(item.key)
        if found is None:
            return None
        if self.existing == "error":
            place = self.bucket.place_of(item.key)
            raise DestinationExistsError(
                f"{place} exists already, and existing='error' was given.", path=Path(item.key)
            )
        if self.existing == "keep":
            return item.result("kept", self.bucket, verified=False)
        if not found.has(file.size, file.stated_md5):
            return None
        return item.result("kept", self.bucket, verified=file.stated_md5 is not None)

    async def _download(self, item: _Planned, file: RemoteFile, on_bytes: Callable[[int], None]) -> FileResult:
        if file.size is not None and file.size <= WHOLE_BYTES:
            data = await read_bytes(self.reader, file)
            on_bytes(len(data))
            await self.bucket.put(item.key, data, md5=file.stated_md5, mimetype=file.attributes.mimetype)
            size = len(data)
        else:
            async with self._large:
                size = await self._copy(item, file, on_bytes)
        verified = self.reader.options.verify and file.stated_md5 is not None
        return item.result("downloaded", self.bucket, size=size, verified=verified, parts=1)

    async def _copy(self, item: _Planned, file: RemoteFile, on_bytes: Callable[[int], None]) -> int:
        """Write a large file as it arrives; once more if length or md5 was wrong, or the file was replaced."""
        for _ in range(TRIES - 1):
            with suppress(IntegrityError, ObjectChangedError):
                return await self._copy_once(item, file, on_bytes)
            file = self.file_of(item.attributes, item.listed.run)
        return await self._copy_once(item, file, on_bytes)

    async def _copy_once(self, item: _Planned, file: RemoteFile, on_bytes: Callable[[int], None]) -> int:
        sent = 0

        async def pieces() -> AsyncGenerator[bytes]:
            nonlocal sent
            async with aclosing(stream(self.reader, file, 0, None)) as arriving:
                async for piece in arriving:
                    sent += len(piece)
                    on_bytes(len(piece))
                    yield piece

        mimetype, md5 = file.attributes.mimetype, file.stated_md5
        try:
            await self.bucket.put_stream(item.key, pieces(), size=file.size, md5=md5, mimetype=mimetype)
        except BaseException:
            on_bytes(-sent)
            raise
        return sent
