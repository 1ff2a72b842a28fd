"""Reads bytes of one file from its store: judges answers, notices stalls, goes on where a body broke off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import anyio
import attrs
import httpx

from wbfiles_async._protocol.judging import Rejection, Verdict, judge_body, strong_etag
from wbfiles_async._protocol.low_speed import LowSpeed
from wbfiles_async._protocol.urls import host_of
from wbfiles_async._transfer.asking import rejected, request
from wbfiles_async._transfer.decoding import decoded
from wbfiles_async._transfer.exchange import Answer, Take
from wbfiles_async._transfer.failures import Failure, network_failure
from wbfiles_async._transfer.origins import Origin, Turn
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.source import Source
from wbfiles_async.errors import IntegrityError, ObjectChangedError, TransferError, WBFilesError

WRITE_BYTES = 1 << 20
"""Bytes gathered before they are handed to a thread: below it the hand-over costs more than the write."""

TELL_SECONDS = 0.01
"""How often the loop is told of bytes that a thread writes: each time makes the threads wait for Python's lock."""

Write = Callable[[int, bytes | memoryview], None]


async def read(session: Session, source: Source, start: int, stop: int | None) -> AsyncGenerator[bytes | memoryview]:
    """Yield bytes ``[start, stop)`` of the file, in order, each once, going on after what can be survived.

    A piece can be used until the next one is asked for.
    One turn at the origin is held while bytes flow, and none while waiting for another try.

    Args:
        session: The means of the running event loop.
        source: The file; shared with other readers of it.
        start: First byte.
        stop: End, exclusive; ``None`` for the end of the file where its length is unknown.

    Raises:
        Failure: With the verdict ``RESTART`` or ``UNRANGED``: what came so far cannot be completed this way.
        WBFilesError: All else that ends the reading.
    """
    reading = _Reading(session, source, start, stop)
    while reading.goes_on:
        turn = reading.begin()
        try:
            async with turn, _answered(session, reading) as body:
                if whole := body.arrived(session):
                    reading.moved(len(whole))
                    yield whole
                else:
                    async with aclosing(body.pieces(session)) as pieces:
                        async for piece in pieces:
                            reading.moved(len(piece))
                            yield piece
            reading.complete(turn)
        except Failure as failure:
            await reading.survive(failure, turn)


async def copy(
    session: Session, source: Source, start: int, stop: int | None, write: Write, on_bytes: Callable[[int], None]
) -> None:
    """Have bytes ``[start, stop)`` of the file written as they arrive; else as ``read``.

    Args:
        session: The means of the running event loop.
        source: The file; shared with other readers of it.
        start: First byte.
        stop: End, exclusive; ``None`` for the end of the file where its length is unknown.
        write: Writes a piece at an offset. Called in worker threads.
        on_bytes: Told of the length of what is written.

    Raises:
        Failure, WBFilesError: As ``read`` does.
    """
    reading = _Reading(session, source, start, stop)

    def written(count: int) -> None:
        reading.moved(count)
        on_bytes(count)

    while reading.goes_on:
        turn = reading.begin()
        try:
            async with turn, _answered(session, reading) as body:
                await body.copy(session, reading.offset, write, written)
            reading.complete(turn)
        except Failure as failure:
            await reading.survive(failure, turn)


@attrs.define(eq=False)
class _Reading:
    """How far the reading of ``[start, stop)`` has come, over as many requests as it takes.

    Attributes:
        goes_on: Whether another request is needed.
    """

    session: Session
    source: Source
    start: int
    stop: int | None
    offset: int = attrs.field(init=False)
    goes_on: bool = attrs.field(default=True, init=False)
    _object: int = attrs.field(init=False)
    _generation: int = attrs.field(default=0, init=False)
    _round: int = attrs.field(default=0, init=False)
    _lined_up: float = attrs.field(default=0.0, init=False)
    _origin: Origin = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.offset, self._object = self.start, self.source.object

    def begin(self) -> Turn:
        """Line up for a request."""
        source = self.source
        if source.object != self._object:
            raise Failure(
                Verdict.RESTART,
                ObjectChangedError(f"{source.name}: the file was replaced while it was being read.", name=source.name),
            )
        self._generation, self._round = source.generation, source.budget.round
        self._lined_up = time.monotonic()
        if source.begun is not None:
            self._origin = self.session.origins.of(source.begun.url)
            return source.begun.turn
        self._origin = self.session.origins.of(source.url(self.session.unreachable))
        return self._origin.turn(source.name)

    def send(self) -> None:
        """Note that the turn has come."""
        self.source.budget.stood_in_line(self._lined_up)

    def moved(self, count: int) -> None:
        """Note that bytes came."""
        self.offset += count
        self.source.moved(count)

    def complete(self, turn: Turn) -> None:
        """Note that an answer came to its end."""
        turn.passed()
        self.goes_on = self.stop is not None and self.offset < self.stop

    async def survive(self, failure: Failure, turn: Turn) -> None:
        """Do what lets the next request succeed, or raise."""
        source, stop = self.source, self.stop
        pause = turn.throttled(failure.retry_after) if failure.throttled else None
        if stop is not None and self.start < stop <= self.offset:
            self.goes_on = False  # every byte came; only the end of the message did not
        elif failure.verdict is Verdict.RENEW:
            await source.renew(failure, generation=self._generation)
        elif failure.verdict is Verdict.RETRY and (stop is not None or self.offset == self.start):
            try:
                await source.budget.spend(failure, round=self._round, pause=pause)
            except WBFilesError as error:
                self._origin.gave_up((source.run, source.name), error, since=source.budget.failing_since)
                raise
        elif failure.verdict is Verdict.FINAL:
            raise failure.error from failure.__cause__
        else:
            raise failure


async def read_span(
    session: Session, source: Source, start: int, stop: int | None
) -> AsyncGenerator[bytes | memoryview]:
    """Yield bytes ``[start, stop)`` as ``read`` does, also from a store that serves whole files only."""
    whole = begun = False
    while True:
        first = offset = 0 if whole else start
        size = source.size
        last = size if whole or stop is None else stop if size is None else min(stop, size)
        try:
            async with aclosing(read(session, source, first, last)) as pieces:
                async for piece in pieces:
                    wanted = piece[max(0, start - offset) : None if stop is None else max(0, stop - offset)]
                    offset += len(piece)
                    if wanted:
                        begun = True
                        yield wanted
                    if whole and stop is not None and offset >= stop:
                        break
            return
        except Failure as failure:
            if begun or failure.verdict not in (Verdict.UNRANGED, Verdict.ENCODED):
                raise
            if whole and failure.verdict is Verdict.UNRANGED:
                raise
            whole, source.encoded = True, failure.verdict is Verdict.ENCODED


@asynccontextmanager
async def _answered(session: Session, reading: _Reading) -> AsyncIterator[_Body]:
    """Ask for what is missing; give the body of an answer that holds just that."""
    reading.send()
    source, start = reading.source, reading.offset
    answer, url = await request(session, source, start, reading.stop)
    try:
        judged = judge_body(
            answer.status,
            answer.headers,
            start=start,
            stop=reading.stop,
            size=source.size,
            etag=source.etag,
            encoded=source.encoded,
        )
        if isinstance(judged, Rejection):
            if judged.everywhere:
                session.origins.of(url).ranged = False
            raise rejected(judged, source, url, start)
        source.etag = source.etag or strong_etag(answer.headers)
        try:
            yield _Body(answer, source, host_of(url), start, judged.stop)
        except httpx.TransportError as error:
            raise network_failure(error, name=source.name, host=host_of(url), offset=reading.offset) from error
    finally:
        await answer.aclose()


@attrs.frozen(eq=False)
class _Body:
    """The bytes ``[start, stop)`` that one answer brings; ``stop`` is ``None`` where no length is known."""

    _answer: Answer
    _source: Source
    _host: str
    _start: int
    _stop: int | None

    def arrived(self, session: Session) -> bytes | None:
        """Give all of them where they are here already; spares a small file most of the steps of a large one."""
        if self._source.encoded or session.rate_limit is not None:
            return None
        return self._answer.arrived()

    def pieces(self, session: Session) -> AsyncGenerator[bytes | memoryview] | AsyncGenerator[bytes]:
        """Iterate over them, decompressed where the file is compressed. A piece can be used until the next one.

        Raises:
            httpx.TransportError: The connection failed, or stalled.
            Failure: They ended early.
            IntegrityError: There are more.
        """
        pieces = self._as_sent(session)
        return (
            decoded(self._source, pieces, host=self._host, verify=session.options.verify)
            if self._source.encoded
            else pieces
        )

    async def _as_sent(self, session: Session) -> AsyncGenerator[bytes | memoryview]:
        options = session.options
        speed, offset = LowSpeed(options.stall_seconds, options.stall_bytes), self._start
        since = time.monotonic()
        async for piece in self._answer.pieces():
            now = time.monotonic()
            waited = now - since  # for the network, not for what the reader does with the bytes
            offset += len(piece)
            if self._stop is not None and offset > self._stop:
                raise _too_long(self._source, self._host, self._stop)
            if session.rate_limit is not None:
                await anyio.sleep(session.rate_limit.draw(len(piece), now))
            yield piece
            if reason := speed.stall(waited, len(piece)):
                raise httpx.ReadTimeout(reason)
            since = time.monotonic()
        if self._stop is not None and offset < self._stop:
            raise _broken_off(self._source, self._host, offset, f"ended the body at byte {offset} of {self._stop}")

    async def copy(self, session: Session, offset: int, write: Write, on_bytes: Callable[[int], None]) -> None:
        """Have them written from ``offset`` on.

        Raises:
            httpx.TransportError, Failure, IntegrityError: As ``pieces`` does; what came before is written.
            LocalWriteError: The disk refuses.
        """
        loop, options = asyncio.get_running_loop(), session.options
        raised: list[Exception] = []
        told, telling = offset, False

        def tell() -> None:
            nonlocal told, telling
            telling = False  # before the look at what came: what comes later is told of anew
            count, told = offset - told, offset
            try:
                if count:
                    on_bytes(count)
            except Exception as error:  # of who watches; it ends the download
                raised.append(error)

        def take(piece: bytes | memoryview) -> None:
            nonlocal offset, telling
            if raised:
                raise raised[0]
            write(offset, piece)
            offset += len(piece)
            if not telling:
                telling = True
                loop.call_soon_threadsafe(loop.call_later, TELL_SECONDS, tell)

        # In the loop, where a rate is kept: nobody who limits it is in a hurry.
        try:
            if self._answer.drain is not None and session.rate_limit is None and not self._source.encoded:
                await self._answer.drain(take, LowSpeed(options.stall_seconds, options.stall_bytes))
            else:
                await self._gather(session, take)
        finally:
            tell()
        if raised:
            raise raised[0]

    async def _gather(self, session: Session, take: Take) -> None:
        """Have them taken, in pieces that are worth the hand-over to a thread."""
        gathered = bytearray()
        try:
            async for piece in self.pieces(session):
                gathered += piece
                if len(gathered) >= WRITE_BYTES:
                    full, gathered = gathered, bytearray()
                    await session.disk.run(take, memoryview(full))
        finally:
            if gathered:
                await session.disk.run(take, memoryview(gathered))


def _broken_off(source: Source, host: str, offset: int, reason: str) -> Failure:
    error = TransferError(f"{source.name}: {host} {reason}.", name=source.name, host=host, offset=offset)
    return Failure(Verdict.RETRY, error)


def _too_long(source: Source, host: str, size: int) -> IntegrityError:
    return IntegrityError(
        f"{source.name}: {host} sent more than the {size} bytes that were expected. List the files anew and try again.",
        name=source.name,
        host=host,
        offset=size,
        expected=str(size),
        actual=f"more than {size}",
    )
