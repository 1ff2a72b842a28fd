"""Downloads small files of one origin one after the other over one connection, as long as all goes well.

The lane's thread asks, receives, checks and publishes. Whatever else comes of a request is left with the file's source
(`Begun`), and the ordinary download of the file goes on from there: each fault is dealt with in one place.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

import attrs
import httpx

from wbfiles_async._protocol.checksums import new_md5
from wbfiles_async._protocol.http1 import Head, fields_text
from wbfiles_async._protocol.judging import Body, judge_body
from wbfiles_async._protocol.low_speed import LowSpeed
from wbfiles_async._protocol.urls import origin
from wbfiles_async._transfer.asking import plain_headers
from wbfiles_async._transfer.connection import Connection
from wbfiles_async._transfer.download import WHOLE_BYTES
from wbfiles_async._transfer.engine import Engine
from wbfiles_async._transfer.network import private_peers
from wbfiles_async._transfer.origins import Origin
from wbfiles_async._transfer.places import Place
from wbfiles_async._transfer.series import Series
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.sink import default_mode, write_whole
from wbfiles_async._transfer.source import Begun, Source, takes_credentials
from wbfiles_async._transfer.whole import check_md5
from wbfiles_async.errors import UnsupportedReferenceError

SERIES_FILES = 16
"""Files of a series at most: the hand-over is cheap beside so many."""

SERIES_SECONDS = 0.25
"""Seconds after which a series asks for nothing more: others have their turn, and no file waits for a slow one."""


@attrs.define(eq=False)
class SmallFile:
    """One small file that is fetched in a series.

    Attributes:
        source: Where its bytes come from.
        place: Where they go.
        url: The one that is asked.
        origin: Its origin.
        text: The request's text.
        mode: The permissions of the new file; ``None`` for the usual ones.
        replace: Whether a file that is there may be replaced.
        md5: The one it must have; ``None`` where that is not compared.
        length: Its length in bytes.
        look: Looks whether it may be fetched, before anything is asked for; raises if not. May block.
        arrived: Bytes that came.
        published: The new file's status; see ``Temporary.published``.
        is_done: Whether it is in place.
        error: Why it is not in place, though all of it came.
    """

    source: Source
    place: Place
    url: str
    origin: str
    text: bytes
    mode: int | None
    replace: bool
    md5: bytes | None
    length: int
    look: Callable[[], object] | None = None
    arrived: int = attrs.field(default=0, init=False)
    published: os.stat_result | None = attrs.field(default=None, init=False)
    is_done: bool = attrs.field(default=False, init=False)
    error: Exception | None = attrs.field(default=None, init=False)

    @property
    def is_odd(self) -> bool:
        """Whether something is out of the ordinary with it: it failed, or what came is left with its source."""
        return self.error is not None or self.source.begun is not None

    async def drop(self) -> None:
        """Let go of what came of its request, where nobody went on from there."""
        if (begun := self.source.take_begun()) is not None:
            await begun.drop()

    @property
    def request(self) -> bytes:
        """The request's text."""
        if self.look is not None:
            self.look()
        return self.text

    def expects(self, head: Head) -> bool:
        """Tell whether all of the file, and nothing else, is behind the head of an answer."""
        length = self.length
        judged = judge_body(head.status, head.headers, start=0, stop=length, size=length, etag=None)
        return isinstance(judged, Body) and head.length == self.length

    def take(self, body: memoryview) -> bool:
        """Check and publish. Blocks."""
        self.arrived = len(body)
        try:
            if self.md5 is not None and (actual := new_md5(body).digest()) != self.md5:
                check_md5(self.source, actual)
            mode = default_mode() if self.mode is None else self.mode
            self.published = write_whole(self.place, [body], mode=mode, replace=self.replace, durable=False)
            self.is_done = True
        except Exception as error:  # dealt with where the file is waited for
            self.error = error
        return self.error is None


@attrs.frozen(eq=False)
class Express:
    """Sends small files on their way together."""

    _session: Session
    _engine: Engine
    _mode: int | None
    _replace: bool
    _fields: str

    @classmethod
    def of(cls, session: Session, *, mode: int | None, replace: bool) -> Express | None:
        """Make one, where the session and its options allow for it.

        Args:
            session: The means of the running event loop.
            mode: The permissions of new files; ``None`` for the usual ones.
            replace: Whether files that are there may be replaced.
        """
        options = session.options
        if session.engine is None or options.durable or session.rate_limit is not None:
            return None
        return cls(session, session.engine, mode, replace, fields_text(plain_headers(session)))

    def file(self, source: Source, place: Place) -> SmallFile | None:
        """Make a small file ready; ``None`` where it cannot go this way."""
        session, length = self._session, source.size
        if not length or length > WHOLE_BYTES:
            return None
        try:
            url = source.url(session.unreachable)
        except UnsupportedReferenceError:
            return None
        if takes_credentials(url, session.api_origin) or not self._engine.takes_series(url):
            return None
        return SmallFile(
            source=source,
            place=place,
            url=url,
            origin=origin(url),
            text=self._engine.request(url, self._fields),
            mode=self._mode,
            replace=self._replace,
            md5=source.md5 if session.options.verify else None,
            length=length,
        )

    async def fetch_at_once(self, file: SmallFile, look: Callable[[], object]) -> bool:
        """Fetch one file, if nothing stands in the way of doing all of it in one go.

        Args:
            file: The file.
            look: Looks whether it may be fetched, and raises if not; blocks.

        Returns:
            Whether it was looked at. It is in place then, or has failed as a file of ``fetch`` does.
        """
        if not (self._session.origins.of(file.url).is_free and self._engine.kept.has(file.origin)):
            return False  # then it must be looked at before anybody waits
        file.look = look
        await self.fetch([file], goes_on=lambda: False, on_done=lambda _: None, on_recalled=lambda _: None)
        return True

    async def fetch(
        self,
        files: Sequence[SmallFile],
        *,
        goes_on: Callable[[], bool],
        on_done: Callable[[SmallFile], None],
        on_recalled: Callable[[int], None],
    ) -> None:
        """Fetch files of one origin, from the first one on, until something is out of the ordinary.

        The one behind those that came whole may have been asked for already; then its source tells.

        Args:
            files: The files; one at least.
            goes_on: Asked, in another thread, whether further ones are still wanted.
            on_done: Told of each that came whole, in order; look at its ``error``.
            on_recalled: Told how many of the last ones will not be asked for, as soon as that is known.

        Raises:
            StoreUnavailableError: The origin is known to be down.
        """
        first = files[0]
        where = self._session.origins.of(first.url)
        async with where.turn(first.source.name) as turn:
            try:
                connection = self._engine.kept.take(where.name) or await self._connect(first.url, where)
            except httpx.TransportError as error:
                first.source.begun = Begun(first.url, turn.hand_on(), error)
                return
            options, done = self._session.options, 0
            series = Series(
                connection,
                files,
                goes_on=lambda: where.admits and goes_on(),
                silence=self._session.times.read,
                speed=LowSpeed(options.stall_seconds, options.stall_bytes),
            )
            self._engine.begin(series)
            recall = asyncio.get_running_loop().call_later(SERIES_SECONDS, lambda: on_recalled(series.recall()))
            try:
                while news := await series.news():
                    where.reachable = True
                    for file in files[done : done + news]:
                        turn.passed()
                        on_done(file)
                    done += news
            except BaseException:
                await self._engine.abandon(series)
                raise
            finally:
                recall.cancel()
            self._engine.take_back(series, where.name, self._session.times)
            outcome = series.answer or series.failure
            if isinstance(outcome, Exception) and not isinstance(outcome, httpx.TransportError):
                raise outcome
            if outcome is not None:
                files[done].source.begun = Begun(files[done].url, turn.hand_on(), outcome)

    async def _connect(self, url: str, where: Origin) -> Connection:
        session = self._session
        allowed = where.name == session.api_origin or await session.private_stores.known()
        with private_peers(allowed=allowed):
            return await self._engine.connect(url, session.times)
