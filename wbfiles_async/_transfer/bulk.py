"""Downloads many files side by side, with bounded memory, and reports honestly on each."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import attrs

from wbfiles_async._models import DownloadReport, Existing, FileAttributes, FileResult, RunPath
from wbfiles_async._protocol.selection import Selection
from wbfiles_async._transfer.download import WHOLE_BYTES, Download
from wbfiles_async._transfer.express import SERIES_FILES, Express
from wbfiles_async._transfer.feed import Feed
from wbfiles_async._transfer.places import check_writable, exists, has_content
from wbfiles_async._transfer.progress import Progress, labelled
from wbfiles_async._transfer.remembered import Content, Remembered
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.sink import already_exists, default_mode
from wbfiles_async._transfer.source import Source
from wbfiles_async._transfer.space import Ahead, Need, ends_all, free_below
from wbfiles_async._transfer.survey import Item, Listed, Survey, failed, need_of
from wbfiles_async._transfer.tasks import side_by_side
from wbfiles_async._transfer.together import Small, Together
from wbfiles_async.errors import WBFilesError

FILES_PER_CONNECTION = 2
"""Files in flight for each connection: while one is written, another one's bytes flow."""

FAILURES_KEPT = 1000
"""Failures a report lists; it counts them all."""


@attrs.define(eq=False, kw_only=True)
class BulkDownload:
    """Many files on their way below one root.

    Attributes:
        session: The means of the running event loop.
        source_for: Makes the source of a file of a run.
        root: The folder they go below.
        selection: Which of them.
        existing: What to do with a file that is there.
        dry_run: Whether to only tell what would be done.
        progress: Who is told of each file's progress.
        on_result: Who is told of each file's end.
    """

    session: Session
    source_for: Callable[[FileAttributes, RunPath], Source]
    root: Path
    selection: Selection
    existing: Existing
    dry_run: bool
    progress: Progress | None = None
    on_result: Callable[[FileResult], None] | None = None
    _mode: int = attrs.field(factory=default_mode)
    _replace: bool = attrs.field(init=False)
    _express: Express | None = attrs.field(init=False)
    _totals: dict[str, int] = attrs.field(factory=dict)
    _failures: list[FileResult] = attrs.field(factory=list)
    _stopped: WBFilesError | None = None
    _ahead: Ahead = attrs.field(factory=Ahead)
    _remembered: Remembered = attrs.field(init=False)
    _survey: Survey = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._remembered = Remembered(self.root, self.session.options.remember)
        self._survey = Survey(
            self.root, self.selection, self.existing, self._remembered, self.session.options, self.dry_run
        )
        self._replace = self.existing in ("replace", "verify")
        self._express = None if self.dry_run else Express.of(self.session, mode=self._mode, replace=self._replace)

    @property
    def _workers(self) -> int:
        return self.session.options.connections * FILES_PER_CONNECTION

    async def run(self, pages: AsyncIterator[Sequence[Listed]]) -> DownloadReport:
        """Download what the pages list; one file's failure does not stop the others, a full disk does.

        Raises:
            LocalWriteError: Nothing can be written below the root.
            WBFilesError: The listing failed; what was begun is finished or undone.
        """
        if not self.dry_run:
            await self.session.disk.run(check_writable, self.root)
        began = time.monotonic()
        try:
            async with aclosing(self._arranged(pages)) as arranged, side_by_side() as group:
                files = Feed(arranged)
                for _ in range(self._workers):
                    group.start_soon(self._work, files)
        finally:
            with anyio.CancelScope(shield=True):
                await self.session.disk.run(self._remembered.close)
        self._skip(files.left)
        return DownloadReport(
            root=self.root,
            seconds=time.monotonic() - began,
            failures=tuple(self._failures),
            stopped=self._stopped,
            **self._totals,
        )

    async def _arranged(self, pages: AsyncIterator[Sequence[Listed]]) -> AsyncGenerator[list[Item]]:
        """Decide, a page at a time, what can be decided of each wanted file before it is worked on."""
        async for page in pages:
            items, refused = await self.session.disk.run(self._survey.arrange, page)
            for result in refused:
                self._account(result)
            if self._stopped is None and not self.dry_run:
                await self._check_space(items)
            if self._stopped is not None:
                self._skip(len(items))
                return
            if items:
                yield items

    async def _check_space(self, items: list[Item]) -> None:
        """Plan the files, or stop before the first of them where not all of them can fit."""
        need = need_of(items)
        if need == Need():
            return
        shortage = None
        while shortage is None:  # what is written just now may count twice: as not free, and as needed
            before = self._ahead.need + need
            free = await self.session.disk.run(free_below, self.root)
            if free.shortage(before, self.root) is None:
                self._ahead.plan(need)
                return
            shortage = free.shortage(self._ahead.need + need, self.root)
        self._stopped = shortage
        first = next(item for item in items if item.need != Need())
        items.remove(first)
        self._account(failed(first, shortage))

    async def _work(self, files: Feed) -> None:
        while (item := await files.next()) is not None:
            small = self._small(item)
            if small is None or self._express is None:
                self._ahead.begin(item.need)
                await self._finish(item, self.source_for(item.attributes, item.listed.run), files)
                continue
            series = [small, *self._like(small, files)]
            together = Together(self._express, series, files, self._ahead, self._landed)
            async with together.fetched() as alone:
                for odd in alone:
                    await self._finish(odd.item, odd.file.source, files, spoiled=odd.file.error)
            await self._write_down()

    def _small(self, item: Item) -> Small | None:
        """Make a file ready to be fetched together with others, where nothing is to be decided of it before."""
        if self._express is None or item.known or (item.taken and self.existing != "replace"):
            return None
        file = self._express.file(self.source_for(item.attributes, item.listed.run), item.place)
        return None if file is None else Small(item, file)

    def _like(self, first: Small, files: Feed) -> Iterator[Small]:
        """Take those behind a small file that can go with it."""
        for _ in range(files.share(self._workers, most=SERIES_FILES) - 1):
            item = files.peek()
            small = None if item is None else self._small(item)
            if small is None or small.file.origin != first.file.origin:
                break
            files.skip()
            yield small

    def _landed(self, small: Small) -> None:
        """Account for a small file that is in place."""
        item, file = small.item, small.file
        told, name = labelled(self.progress, item.listed.label), file.source.name
        if told is not None:
            told.started(name, file.length)
            told.advanced(name, file.length)
            told.finished(name)
        verified = file.md5 is not None
        if file.md5 is not None and file.published is not None:
            self._remembered.note(Content(item.path, file.published, file.md5))
        self._count({"files": 1, "downloaded": 1, "parts": 1, "bytes": file.length, "verified": int(verified)})
        if self.on_result is not None:
            self.on_result(
                FileResult(
                    name=name,
                    status="downloaded",
                    path=item.place.path,
                    size=file.length,
                    verified=verified,
                    parts=1,
                    run=file.source.run,
                )
            )

    async def _finish(self, item: Item, source: Source, files: Feed, *, spoiled: Exception | None = None) -> None:
        """Do what is to be done with one file, and account for it."""
        try:
            result = await self._result_of(item, source, spoiled)
        except WBFilesError as error:
            result = failed(item, error)
            if ends_all(error):
                self._stopped = self._stopped or error
                files.stop()
        self._account(result)
        await self._write_down()

    async def _result_of(self, item: Item, source: Source, spoiled: Exception | None) -> FileResult:
        if item.known:
            return _kept(item, verified=True)
        place = item.place
        if item.taken and self.existing != "replace" and (kept := await self._kept(item, source)) is not None:
            return kept
        if self.dry_run:
            return FileResult(
                name=source.name, status="planned", path=place.path, size=source.size or 0, run=source.run
            )
        download = Download(
            session=self.session,
            source=source,
            place=place,
            mode=self._mode,
            replace=self._replace,
            progress=labelled(self.progress, item.listed.label),
            spoiled=spoiled,
        )
        with self._ahead.writing(item.need, lambda: download.arrived):
            result = await download.run()
        if result.verified and download.published is not None and source.md5 is not None:
            self._remembered.note(Content(item.path, download.published, source.md5))
        return result

    async def _kept(self, item: Item, source: Source) -> FileResult | None:
        """Decide whether the file at the place stays as it is."""
        disk, place = self.session.disk, item.place
        if self.existing == "verify":
            run = disk.run_batched if source.size is not None and source.size <= WHOLE_BYTES else disk.run
            began = time.monotonic()
            status = await run(has_content, place, size=source.size, md5=source.md5)
            if status is None:
                return None
            if source.md5 is not None and not self.dry_run:
                self._remembered.note(Content(item.path, status, source.md5, read_at=began))
            return _kept(item, verified=source.md5 is not None)
        if not await disk.run(exists, place):
            return None
        if self.existing == "error":
            raise already_exists(place.path)
        return _kept(item, verified=False)

    async def _write_down(self) -> None:
        if self._remembered.is_worth_writing:
            await self.session.disk.run(self._remembered.write, self._remembered.take())

    def _account(self, result: FileResult) -> None:
        counts = {
            "files": 1,
            result.status: 1,
            "verified": int(result.verified),
            "parts": result.parts,
            "resumed": int(result.resumed > 0),
        }
        if result.status in ("downloaded", "planned"):
            counts["bytes"] = result.size
        self._count(counts)
        if result.error is not None and len(self._failures) < FAILURES_KEPT:
            self._failures.append(result)
        if self.on_result is not None:
            self.on_result(result)

    def _skip(self, files: int) -> None:
        self._count({"files": files, "skipped": files})

    def _count(self, counts: Mapping[str, int]) -> None:
        for key, count in counts.items():
            self._totals[key] = self._totals.get(key, 0) + count


def _kept(item: Item, *, verified: bool) -> FileResult:
    attributes = item.attributes
    return FileResult(
        name=attributes.name,
        status="kept",
        path=item.place.path,
        size=attributes.size_bytes or 0,
        verified=verified,
        run=str(item.listed.run),
    )
