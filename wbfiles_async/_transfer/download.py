"""Downloads one file: whole, checked, and in place, or not at all."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable

import anyio
import attrs

from wbfiles_async._models import FileResult
from wbfiles_async._protocol.journal import Journal
from wbfiles_async._protocol.ranges import Gaps, Range, gaps_in
from wbfiles_async._protocol.readers import Readers
from wbfiles_async._protocol.urls import origin
from wbfiles_async._transfer.digest import Digest
from wbfiles_async._transfer.places import Place
from wbfiles_async._transfer.progress import Progress
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.sink import Temporary, write_whole
from wbfiles_async._transfer.source import Source
from wbfiles_async._transfer.store import copy
from wbfiles_async._transfer.tasks import side_by_side
from wbfiles_async._transfer.whole import check_md5, check_pieces, read_whole, until_whole
from wbfiles_async.errors import (
    ApiError,
    IntegrityError,
    ObjectChangedError,
    RemoteFileNotFoundError,
    TransferError,
)

log = logging.getLogger(__name__)

WHOLE_BYTES = 1 << 20
"""Files up to this size are held in memory, then written and published in one step."""

FEW_READERS = 4
"""Connections that a large file begins with: as many as the fastest links need."""

ONE_READER = 1
"""The same where the md5 follows, which is slower than one connection: it need not read back what comes in order. And
where they decrypt: each record lets go of Python's lock and needs it again, so that threads hold each other up."""

ANSWER_SECONDS = 1.0
"""Seconds in which nothing but connecting and asking may happen."""


@attrs.define(eq=False, kw_only=True)
class Download:
    """One file on its way to its place.

    Attributes:
        session: The means of the running event loop.
        source: Where the bytes come from.
        place: Where they go.
        mode: The permissions of the new file.
        replace: Whether a file that is there may be replaced.
        progress: Who is told.
        spoiled: What ended a first attempt that was made elsewhere.
        published: The new file's status; see ``Temporary.published``.
    """

    session: Session
    source: Source
    place: Place
    mode: int
    replace: bool
    progress: Progress | None = None
    spoiled: Exception | None = None
    published: os.stat_result | None = attrs.field(default=None, init=False)
    _arrived: int = 0
    _parts: int = 0
    _resumed: int = 0

    @property
    def arrived(self) -> int:
        """Bytes that came so far."""
        return self._arrived

    async def run(self) -> FileResult:
        """Fetch, check and publish.

        Raises:
            WBFilesError: What ended it; the place is as it was.
        """
        name, size = self.source.name, self.source.size
        if self.progress is None:
            return await until_whole(self.source, self._attempt)
        self.progress.started(name, size)
        try:
            result = await until_whole(self.source, self._attempt)
        except Exception as error:
            self.progress.failed(name, error)
            raise
        self.progress.finished(name)
        return result

    async def _attempt(self) -> FileResult:
        if self.spoiled is not None:
            spoiled, self.spoiled = self.spoiled, None
            raise spoiled
        self._begin()
        size = self.source.size
        if size is not None and size <= WHOLE_BYTES:
            verified = await self._in_memory()
        else:
            verified = await self._on_disk(size)
        return FileResult(
            name=self.source.name,
            status="downloaded",
            path=self.place.path,
            size=self._arrived,
            verified=verified,
            parts=self._parts,
            resumed=self._resumed,
            run=self.source.run,
        )

    def _begin(self) -> None:
        if self._arrived and self.progress is not None:
            self.progress.advanced(self.source.name, -self._arrived)
        self._arrived = self._parts = self._resumed = 0

    def _count(self, length: int) -> None:
        self._arrived += length
        if self.progress is not None:
            self.progress.advanced(self.source.name, length)

    async def _in_memory(self) -> bool:
        pieces = await read_whole(self.session, self.source, on_bytes=self._count)
        self._parts = 1
        verify = self._verify

        def check_and_write() -> None:
            if verify:
                check_pieces(self.source, pieces)
            durable = self.session.options.durable
            self.published = write_whole(self.place, pieces, mode=self.mode, replace=self.replace, durable=durable)

        await self.session.disk.run_batched(check_and_write)
        return verify

    @property
    def _verify(self) -> bool:
        return self.session.options.verify and self.source.md5 is not None

    async def _on_disk(self, size: int | None) -> bool:
        run, options = self.session.disk.run, self.session.options
        self.source.url(self.session.unreachable)  # a reference that cannot be fetched leaves no trace on the disk
        temporary = Temporary(self.place)
        try:
            journal = await run(temporary.create, size=size, md5=self.source.md5 if self._may_resume else None)
            verified = await self._fill(temporary, size, journal)
            await run(temporary.publish, mode=self.mode, replace=self.replace, durable=options.durable)
            self.published = temporary.published
        except BaseException as error:
            if self._may_resume and temporary.can_be_kept and _leaves_a_use(error):
                told = f"What has come of it is kept in {temporary.keep()}; the next download goes on from there."
                error.add_note(told)
                log.info("%s: %s", self.source.name, told)
            raise
        finally:
            temporary.discard()
        return verified

    @property
    def _may_resume(self) -> bool:
        """Whether an interrupted download can be gone on with later: in parts, and checked as a whole."""
        size, options = self.source.size, self.session.options
        return (
            options.resume and self._verify and size is not None and size > options.part_size and not self._unranged()
        )

    async def _fill(self, temporary: Temporary, size: int | None, journal: Journal | None) -> bool:
        """Write all bytes, the md5 following beside; tell whether it was compared."""
        if not self._verify:
            await self._write_parts(temporary, size, None, journal)
            return False
        digest = Digest(temporary)
        async with side_by_side() as group:
            group.start_soon(self.session.disk.follow, digest.follow)
            whole = False
            try:
                await self._write_parts(temporary, size, digest, journal)
                whole = True
            finally:
                digest.end(abandoned=not whole)
        check_md5(self.source, digest.value)
        return True

    async def _write_parts(
        self, temporary: Temporary, size: int | None, digest: Digest | None, journal: Journal | None
    ) -> None:
        session, source, options = self.session, self.source, self.session.options

        def write(offset: int, piece: bytes | memoryview) -> None:
            temporary.write(offset, (piece,))
            if digest is not None:
                digest.written(offset, piece)

        async def fetch(start: int, stop: int | None) -> None:
            self._parts += 1
            await copy(session, source, start, stop, write, self._count)

        async def fetch_and_note(start: int, stop: int) -> None:
            await fetch(start, stop)
            if source.etag and self._may_resume:
                await session.disk.run(temporary.note, Range(start, stop), source.etag)

        if size is None or size <= options.part_size or self._unranged():
            await fetch(0, size)
            return
        done = journal.parts if journal is not None else ()
        if journal is not None:
            source.etag = journal.header.etag
            for part in done:
                if digest is not None:
                    digest.found(part)
                self._resumed += part.length
            self._count(self._resumed)
        await self._side_by_side(gaps_in(size, done, small_first=digest is not None), fetch_and_note)

    async def _side_by_side(self, gaps: Gaps, fetch: Callable[[int, int], Awaitable[None]]) -> None:
        """Fetch the parts of a file, over more connections while those at work are slow."""
        readers = Readers(self._few_readers(), most=self.session.options.connections)
        begun = reading = 0
        ended = anyio.Event()

        async def read_parts() -> None:
            nonlocal reading
            while part := gaps.take(self.session.options.part_size, begun, readers.part_factor):
                await fetch(part.start, part.stop)
            reading -= 1
            if not reading:
                ended.set()

        async with side_by_side() as group:
            began = time.monotonic()
            while gaps.left and not ended.is_set():
                while begun < readers.wanted:
                    begun += 1
                    reading += 1
                    group.start_soon(read_parts)
                before, since = self._arrived, time.monotonic()
                with anyio.move_on_after(readers.look):
                    await ended.wait()
                now = time.monotonic()
                if before > self._resumed or now > began + ANSWER_SECONDS:
                    readers.judge((self._arrived - before) / (now - since))

    def _few_readers(self) -> int:
        encrypted = self.source.url(self.session.unreachable).startswith("https:")
        return ONE_READER if self._verify or encrypted else FEW_READERS

    def _unranged(self) -> bool:
        session, source = self.session, self.source
        return source.unranged or origin(source.url(session.unreachable)) in session.unranged


def _leaves_a_use(error: BaseException) -> bool:
    """Tell whether what has come so far is worth keeping: it was interrupted, and nothing is wrong with it."""
    match error:
        case IntegrityError() | ObjectChangedError() | RemoteFileNotFoundError():
            return False
        case TransferError() | ApiError() | PermissionError() | asyncio.CancelledError():
            return True
        case _:
            return False
