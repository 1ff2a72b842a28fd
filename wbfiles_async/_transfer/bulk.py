"""Downloads many files side by side, with bounded memory, and reports honestly on each."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import attrs

from wbfiles_async._models import DownloadReport, Existing, FileAttributes, FileResult, RunPath
from wbfiles_async._protocol.selection import Selection
from wbfiles_async._transfer.download import Download
from wbfiles_async._transfer.progress import Progress, labelled
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.sink import (
    Place,
    already_exists,
    check_writable,
    default_mode,
    exists,
    has_content,
    place_for,
)
from wbfiles_async._transfer.source import Source
from wbfiles_async._transfer.tasks import side_by_side
from wbfiles_async.errors import UnsafePathError, WBFilesError

FILES_PER_CONNECTION = 2
"""Files in flight for each connection: while one is written, another one's bytes flow."""

FAILURES_KEPT = 1000
"""Failures a report lists; it counts them all."""


@attrs.frozen
class Listed:
    """Files of one run, as they were listed together.

    Attributes:
        run: The run, its entity known.
        files: The files.
        folder: Folders below the root that they go to, judged already.
        label: Stands before their names where progress is told of, to tell the files of several runs apart.
        error: Why the run's files, or the rest of them, could not be listed.
    """

    run: RunPath
    files: Sequence[FileAttributes]
    folder: tuple[str, ...] = ()
    label: str = ""
    error: WBFilesError | None = None


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
    _totals: dict[str, int] = attrs.field(factory=dict)
    _failures: list[FileResult] = attrs.field(factory=list)

    async def run(self, pages: AsyncIterator[Sequence[Listed]]) -> DownloadReport:
        """Download what the pages list; one file's failure does not stop the others.

        Raises:
            LocalWriteError: Nothing can be written below the root.
            WBFilesError: The listing failed; what was begun is finished or undone.
        """
        if not self.dry_run:
            await self.session.disk.run(check_writable, self.root)
        began = time.monotonic()
        async with aclosing(self._arranged(pages)) as arranged, side_by_side() as group:
            files = _Feed(arranged)
            for _ in range(self.session.options.connections * FILES_PER_CONNECTION):
                group.start_soon(self._work, files)
        return DownloadReport(
            root=self.root, seconds=time.monotonic() - began, failures=tuple(self._failures), **self._totals
        )

    async def _arranged(self, pages: AsyncIterator[Sequence[Listed]]) -> AsyncGenerator[list[_Item]]:
        """Find the place of each file that is wanted, and look, a page at a time, which are taken."""
        async for page in pages:
            items: list[_Item] = []
            for listed in page:
                self._arrange(listed, items)
            if items:
                await self.session.disk.run(_look_at_places, items)
                yield items

    def _arrange(self, listed: Listed, items: list[_Item]) -> None:
        for attributes in listed.files:
            if not self.selection.accepts(attributes.name):
                continue
            try:
                items.append(_Item(attributes, place_for(self.root, attributes.name, listed.folder), listed))
            except UnsafePathError as error:
                self._account(_failed(attributes, None, listed, error))
        if listed.error is not None:
            self._account(FileResult(name="", status="failed", run=str(listed.run), error=listed.error))

    async def _work(self, files: _Feed) -> None:
        while (item := await files.next()) is not None:
            try:
                result = await self._result_of(item)
            except WBFilesError as error:
                result = _failed(item.attributes, item.place, item.listed, error)
            self._account(result)

    async def _result_of(self, item: _Item) -> FileResult:
        source, place, listed = self.source_for(item.attributes, item.listed.run), item.place, item.listed
        if item.taken and self.existing != "replace":
            kept = await self._kept(source, place)
            if kept is not None:
                return kept
        if self.dry_run:
            return FileResult(
                name=source.name, status="planned", path=place.path, size=source.size or 0, run=source.run
            )
        result = await Download(
            session=self.session,
            source=source,
            place=place,
            mode=self._mode,
            replace=self.existing in ("replace", "verify"),
            progress=labelled(self.progress, listed.label),
        ).run()
        return attrs.evolve(result, run=source.run)

    async def _kept(self, source: Source, place: Place) -> FileResult | None:
        """Decide whether the file at the place stays as it is."""
        run, verified = self.session.disk.run, False
        if self.existing == "verify":
            verified = await run(has_content, place, size=source.size, md5=source.md5)
            if not verified:
                return None
        elif not await run(exists, place):
            return None
        elif self.existing == "error":
            raise already_exists(place.path)
        return FileResult(
            name=source.name, status="kept", path=place.path, size=source.size or 0, verified=verified, run=source.run
        )

    def _account(self, result: FileResult) -> None:
        counts = {"files": 1, result.status: 1, "verified": int(result.verified), "parts": result.parts}
        if result.status in ("downloaded", "planned"):
            counts["bytes"] = result.size
        for key, count in counts.items():
            self._totals[key] = self._totals.get(key, 0) + count
        if result.error is not None and len(self._failures) < FAILURES_KEPT:
            self._failures.append(result)
        if self.on_result is not None:
            self.on_result(result)


@attrs.define(eq=False)
class _Item:
    """One file to download; ``taken`` where something lies at its place."""

    attributes: FileAttributes
    place: Place
    listed: Listed
    taken: bool = False


def _look_at_places(items: Sequence[_Item]) -> None:
    for item in items:
        item.taken = os.path.lexists(item.place.path)


def _failed(attributes: FileAttributes, place: Place | None, listed: Listed, error: WBFilesError) -> FileResult:
    return FileResult(
        name=attributes.name,
        status="failed",
        path=None if place is None else place.path,
        size=attributes.size_bytes or 0,
        error=error,
        run=str(listed.run),
    )


class _Feed:
    """Hands what is listed to the workers, one page at a time."""

    def __init__(self, pages: AsyncIterator[list[_Item]]) -> None:
        self._pages = pages
        self._items: deque[_Item] = deque()
        self._lock = anyio.Lock()
        self._ended = False

    async def next(self) -> _Item | None:
        while not self._items:
            async with self._lock:
                if self._items:
                    continue
                if self._ended:
                    return None
                try:
                    self._items.extend(await anext(self._pages))
                except StopAsyncIteration:
                    self._ended = True
        return self._items.popleft()
