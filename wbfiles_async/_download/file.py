"""Downloads one file: complete, verified and published, or not at all."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Final

import attrs

from wbfiles_async._disk.journal import Journal
from wbfiles_async._disk.part_file import PartFile
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._download.contents import check_md5, check_pieces, memory_sink
from wbfiles_async._download.gaps import gaps_in
from wbfiles_async._download.parallelism import ParallelismController
from wbfiles_async._download.part_writer import Md5Stream, PartWriter
from wbfiles_async._download.parts import PartsDownload
from wbfiles_async._download.progress import Progress, report_resumed
from wbfiles_async._download.recovery import FileRecovery
from wbfiles_async._download.results import KEPT
from wbfiles_async._ranges import Range
from wbfiles_async._reports import FileResult
from wbfiles_async._retry.attempts import attempts
from wbfiles_async._store.follow_ups import FollowUpSource
from wbfiles_async._store.origin_limits import OriginLimits
from wbfiles_async._store.reader import StoreReader
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async._store.sink import RangeSink
from wbfiles_async._tasks import open_task_group
from wbfiles_async.errors import (
    ApiError,
    IntegrityError,
    ObjectChangedError,
    RemoteFileNotFoundError,
    TransferError,
)

__all__ = ["SMALL_BYTES", "FileDownload"]

log = logging.getLogger(__name__)

SMALL_BYTES: Final = 1 << 20
"""Files up to this size are held in memory, then written and published in one step."""

FEW_CONNECTIONS: Final = 4
"""Initial connections of a large file: as many as the fastest links need."""

ONE_CONNECTION: Final = 1
"""The same if the md5 is computed, which is slower than one connection and need not read back bytes that arrive in
order; and for TLS, since each record releases and acquires Python's lock, so that threads block each other."""


@attrs.define(eq=False, kw_only=True)
class FileDownload:
    """The download of one file.

    Attributes:
        reader: Reads its bytes.
        file: The file.
        target: The target path.
        mode: The permissions of the new file.
        replace: Whether an existing file may be replaced.
        progress: Notified of the bytes.
        spoiled: The failure of a first attempt elsewhere.
        follow_ups: Further small files for the same connection.
        published: The new file's status; see ``PartFile.published``.
    """

    reader: StoreReader
    file: RemoteFile
    target: TargetPath
    mode: int
    replace: bool
    progress: Progress | None = None
    spoiled: Exception | None = None
    follow_ups: FollowUpSource | None = None
    published: os.stat_result | None = attrs.field(default=None, init=False)
    _arrived: int = attrs.field(default=0, init=False)
    _parts: int = attrs.field(default=0, init=False)
    _resumed: int = attrs.field(default=0, init=False)

    @property
    def arrived(self) -> int:
        """Bytes that arrived so far."""
        return self._arrived

    async def run(self) -> FileResult:
        """Download, verify and publish.

        Raises:
            WBFilesError: The failure; the target is unchanged.
        """
        if self.progress is None:
            return await self._with_retries()
        name = self.file.name
        self.progress.started(name, self.file.size)
        try:
            result = await self._with_retries()
        except Exception as error:
            self.progress.failed(name, error)
            raise
        self.progress.finished(name)
        return result

    async def _with_retries(self) -> FileResult:
        recovery = FileRecovery(self.file)
        verified = False
        async for attempt in attempts(recovery.recover):
            with attempt, recovery.attempt():
                if self.spoiled is not None:
                    spoiled, self.spoiled = self.spoiled, None
                    raise spoiled
                verified = await self._attempt()
        return FileResult(
            name=self.file.name,
            status="downloaded",
            path=self.target.path,
            size=self._arrived,
            verified=verified,
            parts=self._parts,
            resumed=self._resumed,
            run=self.file.run,
        )

    async def _attempt(self) -> bool:
        """Download the file once; return whether its md5 was compared."""
        if self._arrived and self.progress is not None:
            self.progress.advanced(self.file.name, -self._arrived)
        self._arrived = self._parts = self._resumed = 0
        size = self.file.size
        if size is not None and size <= SMALL_BYTES:
            return await self._in_memory(size)
        return await self._on_disk(size)

    def _count(self, length: int) -> None:
        self._arrived += length
        if self.progress is not None:
            self.progress.advanced(self.file.name, length)

    @property
    def _verify(self) -> bool:
        return self.reader.options.verify and self.file.md5 is not None

    async def _in_memory(self, size: int) -> bool:
        pieces: list[bytes | memoryview] = []

        def check_and_write() -> None:
            if self._verify:
                check_pieces(self.file, pieces)
            durable = self.reader.options.durable
            write = self.reader.disk.writer.write
            self.published = write(self.target, pieces, mode=self.mode, replace=self.replace, durable=durable)

        self._parts = 1
        sink = memory_sink(size, pieces, check_and_write, is_short=not self.reader.options.durable)
        # A progress object of a single file may raise before it is published.
        may_drain = self.progress is None or self.follow_ups is not None
        await self.reader.save(self.file, sink, self._count, follow_ups=self.follow_ups, may_drain=may_drain)
        return self._verify

    async def _on_disk(self, size: int | None) -> bool:
        run, options = self.reader.disk.run, self.reader.options
        self._url()  # a reference that cannot be fetched leaves no trace on the disk
        temporary = PartFile(self.target)
        try:
            journal = await run(temporary.create, size=size, md5=self.file.md5 if self._may_resume else None)
            verified = await self._write_and_hash(temporary, size, journal)
            await run(temporary.publish, mode=self.mode, replace=self.replace, durable=options.durable)
            self.published = temporary.published
        except BaseException as error:
            if self._may_resume and temporary.can_be_kept and _is_resumable_error(error):
                note = f"{KEPT} in {temporary.keep()}; the next download resumes there."
                error.add_note(note)
                log.info("%s: %s", self.file.name, note)
            raise
        finally:
            temporary.discard()
        return verified

    @property
    def _may_resume(self) -> bool:
        """Whether an interrupted download can be resumed later: in parts, with an md5 of the whole."""
        size, options = self.file.size, self.reader.options
        return (
            options.resume and self._verify and size is not None and size > options.part_size and not self._unranged()
        )

    async def _write_and_hash(self, temporary: PartFile, size: int | None, journal: Journal | None) -> bool:
        """Write all bytes, computing the md5 in parallel; return whether it was compared."""
        if not self._verify:
            await self._write(temporary, size, None, journal)
            return False
        digest = Md5Stream(temporary)
        async with open_task_group() as group:
            group.start_soon(self.reader.disk.follow, digest.follow)
            complete = False
            try:
                await self._write(temporary, size, digest, journal)
                complete = True
            finally:
                digest.end(abandoned=not complete)
        check_md5(self.file, digest.value)
        return True

    async def _write(
        self, temporary: PartFile, size: int | None, digest: Md5Stream | None, journal: Journal | None
    ) -> None:
        """Write all bytes, with one request or in parts."""
        if size is not None and size > self.reader.options.part_size and not self._unranged():
            await self._write_parts(temporary, size, digest, journal)
            return
        self._parts += 1
        writer = PartWriter(temporary, digest, self.file)
        await self.reader.save(self.file, RangeSink(0, size, writer.write), self._count)

    async def _write_parts(
        self, temporary: PartFile, size: int, digest: Md5Stream | None, journal: Journal | None
    ) -> None:
        reader, file, options = self.reader, self.file, self.reader.options
        if journal is not None:
            self._resume(journal, digest)

        async def fetch(sink: RangeSink) -> None:
            self._parts += 1
            await reader.save(file, sink, self._count, ranged=True)

        def sink_of(part: Range) -> RangeSink:
            writer = PartWriter(temporary, digest, file, part.start, options.part_size, lambda: self._may_resume)
            return RangeSink(part.start, part.stop, writer.write, writer.complete)

        parts = PartsDownload(
            gaps=gaps_in(size, journal.parts if journal is not None else (), small_first=digest is not None),
            part_size=options.part_size,
            controller=ParallelismController(self._few_connections(), most=reader.requester.limits.most),
            fetch=fetch,
            sink_of=sink_of,
            arrived=lambda: self._arrived,
            origin=lambda: self._origin,
            may_cut=lambda: not file.unranged,
            clock=reader.clock,
        )
        await parts.run()

    def _resume(self, journal: Journal, digest: Md5Stream | None) -> None:
        """Count the parts of an earlier download."""
        self.file.etag = journal.header.etag
        for part in journal.parts:
            if digest is not None:
                digest.found(part)
            self._resumed += part.length
        self._arrived = self._resumed
        if self.progress is not None:
            report_resumed(self.progress, self.file.name, self._resumed)

    def _few_connections(self) -> int:
        return ONE_CONNECTION if self._verify or self._url().startswith("https:") else FEW_CONNECTIONS

    def _url(self) -> str:
        return self.file.url(self.reader.requester.limits.avoided)

    @property
    def _origin(self) -> OriginLimits:
        """The origin that serves it, as far as known."""
        return self.file.server or self.reader.requester.limits.of(self._url())

    def _unranged(self) -> bool:
        return self.file.unranged or not self._origin.ranged


def _is_resumable_error(error: BaseException) -> bool:
    """Return whether the part file should be kept: the download was interrupted, and no bytes are wrong."""
    match error:
        case IntegrityError() | ObjectChangedError() | RemoteFileNotFoundError():
            return False
        case TransferError() | ApiError() | PermissionError() | asyncio.CancelledError():
            return True
        case _:
            return False
