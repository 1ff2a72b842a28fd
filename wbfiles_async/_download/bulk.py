"""Downloads many files concurrently, with bounded memory, and reports on each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

import anyio
import attrs

from wbfiles_async._disk.part_file import already_exists, default_mode
from wbfiles_async._disk.paths import check_writable, exists, has_content
from wbfiles_async._disk.space import PlannedSpace, SpaceNeeded, free_space_below, is_fatal_for_all
from wbfiles_async._disk.verified_cache import VerifiedFile, VerifiedFileCache
from wbfiles_async._download.batch import PlannedSmallFile, SmallFileBatch, follow_up_of
from wbfiles_async._download.file import SMALL_BYTES, FileDownload
from wbfiles_async._download.plan import Planner
from wbfiles_async._download.planned import ListedFiles, PlannedFile, need_of
from wbfiles_async._download.queue import WorkQueue
from wbfiles_async._download.results import Results, failed, kept, unexpected
from wbfiles_async._download.selection import Selection
from wbfiles_async._models import Existing, FileAttributes, RunPath
from wbfiles_async._reports import DownloadReport, FileResult
from wbfiles_async._store.reader import StoreReader
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async._tasks import open_task_group
from wbfiles_async.errors import WBFilesError

__all__ = ["BulkDownload"]

FILES_IN_HAND: Final = 8
"""Additional files in progress, at most as many as are being transferred: they are being written, or wait."""

SPACE_SECONDS: Final = 0.05
"""Seconds between checks of the free space if the planned files may not fit."""


@attrs.define(eq=False, kw_only=True)
class BulkDownload:
    """The download of many files below one root.

    Attributes:
        reader: Reads their bytes.
        file_of: Returns a file of a run to read from.
        root: The root.
        selection: The selection.
        existing: What to do with an existing file.
        dry_run: Whether to only report what would be done.
        results: Records each result.
    """

    reader: StoreReader
    file_of: Callable[[FileAttributes, RunPath], RemoteFile]
    root: Path
    selection: Selection
    existing: Existing
    dry_run: bool
    results: Results
    _mode: int = attrs.field(factory=default_mode, init=False)
    _replace: bool = attrs.field(init=False)
    _planned_space: PlannedSpace = attrs.field(factory=PlannedSpace, init=False)
    _verified_files: VerifiedFileCache = attrs.field(init=False)
    _planner: Planner = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._verified_files = VerifiedFileCache(self.root, self.reader.options.remember)
        self._planner = Planner(
            self.root, self.selection, self.existing, self._verified_files, self.reader.options, self.dry_run
        )
        self._replace = self.existing in ("replace", "verify")

    async def run(self, pages: AsyncIterator[Sequence[ListedFiles]]) -> DownloadReport:
        """Download the listed files; a file's failure does not stop the others, a full disk does.

        Raises:
            LocalWriteError: Nothing can be written below the root.
            WBFilesError: The listing failed; files in progress have been completed or cleaned up.
        """
        disk, clock = self.reader.disk, self.reader.clock
        if not self.dry_run:
            await disk.run(check_writable, self.root)
        began = clock.monotonic()
        try:
            async with aclosing(self._planned(pages)) as planned:
                limits = self.reader.requester.limits
                workers = _files_for(limits.most)
                files = WorkQueue(planned, least=workers, at_once=lambda: _files_for(limits.wanted))
                with limits.on_change(files.look_again):
                    async with open_task_group() as group:
                        group.start_soon(files.fill)
                        for _ in range(workers):
                            group.start_soon(self._work, files)
        finally:
            with anyio.CancelScope(shield=True):
                await disk.run(self._verified_files.close)
        self.results.skip(files.left)
        return self.results.report(self.root, clock.monotonic() - began)

    async def _planned(self, pages: AsyncIterator[Sequence[ListedFiles]]) -> AsyncGenerator[list[PlannedFile]]:
        """Plan the selected files, a page at a time."""
        async for page in pages:
            items, refused = await self.reader.disk.run(self._planner.plan_page, page)
            for result in refused:
                self.results.add(result)
            if self.results.stopped is None and not self.dry_run:
                await self._check_space(items)
            if self.results.stopped is not None:
                self.results.skip(len(items))
                return
            if items:
                yield items

    async def _check_space(self, items: list[PlannedFile]) -> None:
        """Reserve space for the files, or stop before the first of them if they cannot fit."""
        need = need_of(items)
        if need == SpaceNeeded():
            return
        while True:
            wanted = self._planned_space.need + need
            shortage = (await self.reader.disk.run(free_space_below, self.root)).shortage(wanted, self.root)
            if shortage is None:
                self._planned_space.plan(need)
                return
            if wanted == need:
                break
            # Files being written may count twice, as used and as needed; check again once they are published.
            await self.reader.clock.sleep(SPACE_SECONDS)
            if self.results.stopped is not None:
                return
        self.results.stopped = shortage
        first = next(item for item in items if item.need != SpaceNeeded())
        items.remove(first)
        self.results.add(failed(first, shortage))

    async def _work(self, files: WorkQueue) -> None:
        while (item := await files.next()) is not None:
            await self._download(item, files)
            files.done()
            del item  # while this waits, possibly for long: an item keeps its page of the listing in memory

    async def _download(self, item: PlannedFile, files: WorkQueue) -> None:
        """Download a file, and those that follow it over its connection."""
        batch = SmallFileBatch(queue=files, prepare=self._follow_up, on_landed=self._landed)
        try:
            await self._finish(item, files, batch=batch)
            await batch.finish()
            for small in batch.left_over:
                await self._finish(small.item, files, file=small.file, spoiled=small.error)
        finally:
            await batch.drop()
        await self._write_down()

    def _follow_up(self, item: PlannedFile, origin: str) -> PlannedSmallFile | None:
        """Return a file as a follow-up, if it needs no further checks. Called in worker threads."""
        options = self.reader.options
        if self.dry_run or options.durable or item.known or (item.taken and self.existing != "replace"):
            return None
        reader = self.reader
        return follow_up_of(
            item,
            origin,
            reader.requester,
            self.file_of,
            writer=reader.disk.writer,
            mode=self._mode,
            replace=self._replace,
        )

    def _landed(self, small: PlannedSmallFile) -> None:
        """Record a published follow-up."""
        item, name, verified = small.item, small.item.attributes.name, small.md5 is not None
        self._planned_space.begin(item.need)
        progress = self.results.progress_for(item.listed.label)
        if progress is not None:
            progress.started(name, small.length)
            progress.advanced(name, small.length)
            progress.finished(name)
        if small.md5 is not None and small.published is not None:
            self._verified_files.note(VerifiedFile(item.path, small.published, small.md5))
        if not self.results.is_watched:
            self.results.add_downloaded(small.length, verified=verified)
            return
        self.results.add(
            FileResult(
                name=name,
                status="downloaded",
                path=item.target.path,
                size=small.length,
                verified=verified,
                parts=1,
                run=str(item.listed.run),
                md5=item.attributes.md5,
            )
        )

    async def _finish(
        self,
        item: PlannedFile,
        files: WorkQueue,
        *,
        file: RemoteFile | None = None,
        batch: SmallFileBatch | None = None,
        spoiled: Exception | None = None,
    ) -> None:
        """Download or keep one file, and record the result. An error fails only this file."""
        self._planned_space.begin(item.need)
        try:
            result = await self._result_of(item, file or self.file_of(item.attributes, item.listed.run), batch, spoiled)
        except Exception as error:
            if self.results.is_callers(error):
                raise
            known = error if isinstance(error, WBFilesError) else unexpected(item.attributes.name, error)
            result = failed(item, known)
            if is_fatal_for_all(known) or self.reader.is_closed:
                self.results.stopped = self.results.stopped or known
                files.stop()
        if self.results.is_watched:
            result = attrs.evolve(result, md5=item.attributes.md5)
        self.results.add(result)
        await self._write_down()

    async def _result_of(
        self, item: PlannedFile, file: RemoteFile, batch: SmallFileBatch | None, spoiled: Exception | None
    ) -> FileResult:
        if item.known:
            return kept(item, verified=True)
        target = item.target
        if item.taken and self.existing != "replace" and (stays := await self._kept(item, file)) is not None:
            return stays
        if self.dry_run:
            return FileResult(name=file.name, status="planned", path=target.path, size=file.size or 0, run=file.run)
        download = FileDownload(
            reader=self.reader,
            file=file,
            target=target,
            mode=self._mode,
            replace=self._replace,
            progress=self.results.progress_for(item.listed.label),
            spoiled=spoiled,
            follow_ups=batch,
        )
        with self._planned_space.writing(item.need, lambda: download.arrived):
            result = await download.run()
        if result.verified and download.published is not None and file.md5 is not None:
            self._verified_files.note(VerifiedFile(item.path, download.published, file.md5))
        return result

    async def _kept(self, item: PlannedFile, file: RemoteFile) -> FileResult | None:
        """Decide whether the existing file is kept."""
        disk, target = self.reader.disk, item.target
        if self.existing == "verify":
            run = disk.run_batched if file.size is not None and file.size <= SMALL_BYTES else disk.run
            began = self.reader.clock.monotonic()
            status = await run(has_content, target, size=file.size, md5=file.md5)
            if status is None:
                return None
            if file.md5 is not None and not self.dry_run:
                self._verified_files.note(VerifiedFile(item.path, status, file.md5, read_at=began))
            return kept(item, verified=file.md5 is not None)
        if not await disk.run(exists, target):
            return None
        if self.existing == "error":
            raise already_exists(target.path)
        return kept(item, verified=False)

    async def _write_down(self) -> None:
        if self._verified_files.is_worth_writing:
            await self.reader.disk.run(self._verified_files.write, self._verified_files.take())


def _files_for(connections: int) -> int:
    """Return the number of files in progress for this number of useful requests."""
    return connections + min(connections, FILES_IN_HAND)
