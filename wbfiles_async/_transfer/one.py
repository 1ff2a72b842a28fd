"""What can be done with one file: put it on the disk, read it into memory, or hand out its bytes as they come."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import attrs

from wbfiles_async._protocol.checksums import new_md5
from wbfiles_async._transfer.download import Download
from wbfiles_async._transfer.express import Express
from wbfiles_async._transfer.failures import Failure
from wbfiles_async._transfer.places import Place, place_for, prepare
from wbfiles_async._transfer.progress import Progress
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.sink import already_exists, default_mode
from wbfiles_async._transfer.source import Source
from wbfiles_async._transfer.store import read_span
from wbfiles_async._transfer.whole import check_md5, check_pieces, read_whole, until_whole
from wbfiles_async.errors import ConfigurationError, DestinationExistsError


@attrs.frozen(eq=False)
class OneFile:
    """One file, ready to be transferred; ``AsyncFile`` tells what its methods promise.

    Args:
        session: The means of the running event loop.
        name: The file's name in the run.
        known: Where its bytes come from; ``None`` where that must be looked up.
        look_up: Looks it up.
    """

    _session: Session
    _name: str
    _known: Source | None
    _look_up: Callable[[], Awaitable[Source]]

    async def fetch(
        self,
        root: str | os.PathLike[str],
        *,
        replace: bool,
        exist_ok: bool,
        progress: Progress | None,
        place: Place | None = None,
    ) -> Path:
        """Download to ``root/name``, or to a place of the caller's own."""
        place = place or place_for(root, self._name)

        def look() -> None:
            if prepare(place) and not replace:
                raise already_exists(place.path)

        try:
            if not await self._fetch_at_once(place, look, replace=replace, progress=progress):
                await self._session.disk.run(look)
                await self._download(await self._source(), place, replace=replace, progress=progress)
        except DestinationExistsError:  # it was there, or somebody else made it meanwhile
            if not exist_ok:
                raise
        return place.path

    async def _fetch_at_once(
        self, place: Place, look: Callable[[], None], *, replace: bool, progress: Progress | None
    ) -> bool:
        """Fetch a small file in one go with looking whether it may be fetched, where that is possible."""
        express = None if progress is not None else Express.of(self._session, mode=None, replace=replace)
        if express is None or self._known is None:
            return False
        file = express.file(self._known, place)
        if file is None or not await express.fetch_at_once(file, look):
            return False
        try:
            if not file.is_done:
                await self._download(self._known, place, replace=replace, progress=None, spoiled=file.error)
        finally:
            await file.drop()
        return True

    async def _download(
        self,
        source: Source,
        place: Place,
        *,
        replace: bool,
        progress: Progress | None,
        spoiled: Exception | None = None,
    ) -> None:
        download = Download(
            session=self._session,
            source=source,
            place=place,
            mode=default_mode(),
            replace=replace,
            progress=progress,
            spoiled=spoiled,
        )
        await download.run()

    async def _source(self) -> Source:
        return self._known or await self._look_up()

    async def read_bytes(self) -> bytes:
        """Read all of it into memory."""
        session, source = self._session, await self._source()

        async def attempt() -> bytes:
            pieces = await read_whole(session, source)
            if session.options.verify and source.md5 is not None:
                await session.disk.run(check_pieces, source, pieces)
            return b"".join(pieces)

        return await until_whole(source, attempt)

    async def stream(self, start: int, stop: int | None) -> AsyncGenerator[bytes]:
        """Yield the bytes ``[start, stop)`` as they arrive."""
        if start < 0 or (stop is not None and stop < start):
            raise ConfigurationError(
                f"stream reads bytes [start, stop) with 0 <= start <= stop, not [{start}, {stop})."
            )
        session, source = self._session, await self._source()
        size = source.size
        end = stop if size is None else size if stop is None else min(stop, size)
        if end is not None and start >= end and not start == size == 0:  # an empty file is asked for, to know of it
            return
        whole = start == 0 and end == size
        digest = new_md5() if whole and source.md5 is not None and session.options.verify else None
        try:
            async with aclosing(read_span(session, source, start, stop)) as pieces:
                async for piece in pieces:
                    if digest is not None:
                        await session.disk.run(digest.update, piece)
                    yield bytes(piece)
        except Failure as failure:
            raise failure.error from failure.__cause__
        if digest is not None:
            check_md5(source, digest.digest())
