"""Uploads many files to one run concurrently, with bounded memory, and reports on each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import anyio
import attrs

from wbfiles_async._clock import Clock
from wbfiles_async._disk.executor import Disk
from wbfiles_async._disk.reading import LocalFile
from wbfiles_async._download.results import Results, unexpected
from wbfiles_async._models import FileStatus
from wbfiles_async._reports import FileResult, UploadReport
from wbfiles_async._tasks import open_task_group
from wbfiles_async._upload.content import BytesContent, FileContent, UploadContent
from wbfiles_async._upload.plan import GivenBytes, ToUpload
from wbfiles_async._upload.uploader import Upload, Uploader
from wbfiles_async.errors import WBFilesError

__all__ = ["BulkUpload", "failure_of"]

BATCHES_AT_ONCE: Final = 8
"""Batches in progress: while some are being sent, others wait for the API. A large file is a batch, so this many are
sent concurrently."""


@attrs.define(eq=False, kw_only=True)
class BulkUpload:
    """The upload of many files to one run.

    Attributes:
        uploader: Uploads each batch.
        disk: The threads that read the files.
        results: Records each result.
        dry_run: Whether to only report what would be sent.
        clock: The time.
    """

    uploader: Uploader
    disk: Disk
    results: Results
    dry_run: bool
    clock: Clock
    _turn: anyio.Lock = attrs.field(factory=anyio.Lock, init=False)

    async def run(self, batches: Iterator[list[ToUpload]]) -> UploadReport:
        """Upload all; a file's failure does not stop the others, one of the API does.

        Args:
            batches: The files; the iterator blocks.

        Raises:
            WBFilesError: The API failed or refused before any file was uploaded.
        """
        began = self.clock.monotonic()
        async with open_task_group() as group:
            for _ in range(BATCHES_AT_ONCE):
                group.start_soon(self._work, batches)
        report = self._report(self.clock.monotonic() - began)
        if report.stopped is not None and not (report.uploaded or report.kept or report.planned):
            raise report.stopped
        return report

    async def _work(self, batches: Iterator[list[ToUpload]]) -> None:
        while (batch := await self._next(batches)) is not None:
            if self.results.stopped is not None:
                self.results.skip(len(batch))
                continue
            await self._upload(batch)

    async def _next(self, batches: Iterator[list[ToUpload]]) -> list[ToUpload] | None:
        async with self._turn:
            return await self.disk.run(next, batches, None)

    async def _upload(self, batch: Sequence[ToUpload]) -> None:
        uploads = list[tuple[ToUpload, Upload]]()
        for found in batch:
            if found.error is not None:
                self._add(found, None, found.error)
                continue
            uploads.append((found, Upload(name=found.name, content=self._content_of(found), size=found.size)))
        if not uploads:
            return
        failure: WBFilesError | None = None
        try:
            await self.uploader.upload([upload for _, upload in uploads], dry_run=self.dry_run)
        except WBFilesError as error:
            if self.results.is_callers(error):
                raise
            failure = error
            self.results.stopped = self.results.stopped or error
        for found, upload in uploads:
            self._add(found, upload, upload.error or (None if upload.listed is not None else failure))

    def _content_of(self, found: ToUpload) -> UploadContent:
        digests = self.uploader.options.verify
        if isinstance(found, GivenBytes):
            return BytesContent(found.data, self.disk, digests)
        return FileContent(LocalFile(found.path, follow_links=found.given), self.disk, digests)

    def _add(self, found: ToUpload, upload: Upload | None, error: WBFilesError | None) -> None:
        status: FileStatus = "failed"
        if upload is not None and error is None:
            status = "kept" if upload.kept else "uploaded" if upload.listed is not None else "planned"
        self.results.add(
            FileResult(
                name=found.name,
                status=status,
                path=found.path,
                size=found.size if upload is None or error is not None else upload.size,
                verified=upload is not None and upload.verified,
                error=error,
                run=str(self.uploader.uploads.run),
            )
        )

    def _report(self, seconds: float) -> UploadReport:
        totals = self.results.totals
        return UploadReport(
            run=str(self.uploader.uploads.run),
            seconds=seconds,
            failures=self.results.failures,
            stopped=self.results.stopped,
            **{name: totals.get(name, 0) for name in _TOTALS},
        )


_TOTALS: Final = ("files", "uploaded", "kept", "planned", "failed", "skipped", "bytes", "verified")


def failure_of(results: Results, name: str, error: Exception) -> WBFilesError:
    """Return the error of one file.

    Raises:
        Exception: An exception of the caller's callbacks, which ends all work.
    """
    if results.is_callers(error):
        raise error
    return error if isinstance(error, WBFilesError) else unexpected(name, error)
