"""Downloads one file: whole, checked, and in place, or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import aclosing

import attrs

from wbfiles_async._models import FileResult
from wbfiles_async._protocol.checksums import new_md5
from wbfiles_async._protocol.front import Front
from wbfiles_async._protocol.ranges import Range, split
from wbfiles_async._protocol.urls import origin
from wbfiles_async._transfer.progress import Progress
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.sink import Place, Temporary, write_whole
from wbfiles_async._transfer.source import Source
from wbfiles_async._transfer.store import read
from wbfiles_async._transfer.tasks import side_by_side
from wbfiles_async._transfer.whole import check_md5, check_pieces, read_whole, until_whole

WHOLE_BYTES = 1 << 20
"""Files up to this size are held in memory, then written and published in one step."""

WRITE_BYTES = 1 << 20
"""Bytes gathered before they are handed to a thread: below it the hand-over costs more than the write."""

KEPT_BYTES = 256 << 10
"""Pieces smaller than this are copied and gathered; larger ones are written at once."""

DIGEST_BYTES = 2 << 20
"""Bytes digested in one go: few enough for the processor's caches, many enough to seldom ask for Python's lock."""


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
        published: The new file's status; see ``Temporary.published``.
    """

    session: Session
    source: Source
    place: Place
    mode: int
    replace: bool
    progress: Progress | None = None
    published: os.stat_result | None = attrs.field(default=None, init=False)
    _arrived: int = 0
    _parts: int = 0

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
        )

    def _begin(self) -> None:
        if self._arrived and self.progress is not None:
            self.progress.advanced(self.source.name, -self._arrived)
        self._arrived = self._parts = 0

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
            await run(temporary.create, size=size)
            verified = await self._fill(temporary, size)
            await run(temporary.publish, mode=self.mode, replace=self.replace, durable=options.durable)
            self.published = temporary.published
        finally:
            temporary.discard()
        return verified

    async def _fill(self, temporary: Temporary, size: int | None) -> bool:
        """Write all bytes, the md5 following beside; tell whether it was compared."""
        verify = self._verify
        digest = _Digest(temporary)
        async with side_by_side() as group:
            if verify:
                group.start_soon(self.session.disk.follow, digest.follow)
            whole = False
            try:
                await self._write_parts(temporary, size, digest)
                whole = True
            finally:
                digest.end(abandoned=not whole)
        if verify:
            check_md5(self.source, digest.value)
        return verify

    async def _write_parts(self, temporary: Temporary, size: int | None, digest: _Digest) -> None:
        options = self.session.options
        if size is None or size <= options.part_size or self._unranged():
            await self._fetch_part(0, size, temporary, digest)
            return
        parts = split(size, options.part_size)
        async with side_by_side() as writers:
            for _ in range(min(options.connections, -(-size // options.part_size))):
                writers.start_soon(self._fetch_parts, parts, temporary, digest)

    def _unranged(self) -> bool:
        session, source = self.session, self.source
        return source.unranged or origin(source.url(session.unreachable)) in session.unranged

    async def _fetch_parts(self, parts: Iterator[Range], temporary: Temporary, digest: _Digest) -> None:
        for part in parts:  # one iterator for all tasks: each takes what is next
            await self._fetch_part(part.start, part.stop, temporary, digest)

    async def _fetch_part(self, start: int, stop: int | None, temporary: Temporary, digest: _Digest) -> None:
        self._parts += 1
        offset, held = start, 0
        pieces: list[bytes | memoryview] = []

        async def write() -> None:
            nonlocal offset, held
            await self.session.disk.run(temporary.write, offset, pieces)
            digest.written(offset, offset + held)
            offset, held = offset + held, 0
            pieces.clear()

        async with aclosing(read(self.session, self.source, start, stop)) as body:
            async for piece in body:
                # A large piece is written while it is lent to us, a small one kept until there are more.
                pieces.append(piece if len(piece) >= KEPT_BYTES else bytes(piece))
                held += len(piece)
                self._count(len(piece))
                if held >= WRITE_BYTES or len(piece) >= KEPT_BYTES:
                    await write()
        if pieces:
            await write()


class _Digest:
    """The md5 of a file that is being written, following the front of what has no gap in a thread of its own."""

    def __init__(self, temporary: Temporary) -> None:
        self._temporary = temporary
        self._front = Front()
        self._digest = new_md5()
        self._news = threading.Condition()
        self._ended = self._abandoned = False

    @property
    def value(self) -> bytes:
        return self._digest.digest()

    def written(self, start: int, stop: int) -> None:
        with self._news:
            if self._front.written(start, stop):
                self._news.notify()

    def end(self, *, abandoned: bool) -> None:
        """Say that nothing more will be written, or that nobody wants to know."""
        with self._news:
            self._ended, self._abandoned = True, abandoned
            self._news.notify()

    def follow(self) -> None:
        """Digest what is written, until the end. Blocks."""
        done = 0
        buffer = memoryview(bytearray(DIGEST_BYTES))
        while not self._abandoned:
            with self._news:
                while self._front.stop - done < DIGEST_BYTES and not self._ended:
                    self._news.wait()
                stop = min(self._front.stop, done + DIGEST_BYTES)
            if done == stop:
                return
            self._temporary.digest(self._digest, done, buffer[: stop - done])
            done = stop
