"""Reads a range of a file from its store: into a sink or to the caller, resuming truncated bodies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final

import attrs
import httpx

from wbfiles_async._clock import Clock
from wbfiles_async._disk.executor import Disk
from wbfiles_async._http.body import pieces_of
from wbfiles_async._http.extensions import Drain, StallLimit, drain_of
from wbfiles_async._http.reports import ByteReports
from wbfiles_async._options import TransferOptions
from wbfiles_async._rate_limit import RateLimit
from wbfiles_async._retry.attempts import attempts
from wbfiles_async._retry.failure import RequestFailed, RetryAction, network_failure
from wbfiles_async._store.decoding import decoded
from wbfiles_async._store.follow_ups import FollowUpSource, drain_first
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async._store.request import Requester, StoreResponse, page_failure, page_of, rejected
from wbfiles_async._store.request_slot import RequestSlot
from wbfiles_async._store.response import Rejection, strong_etag, validate_response
from wbfiles_async._store.sink import CutError, ExcessError, RangeSink
from wbfiles_async._urls import host_of, origin
from wbfiles_async.errors import IntegrityError, ObjectChangedError, TransferError, WBFilesError

__all__ = ["StoreReader"]

LITTLE_BYTES: Final = 64 << 10
"""Minimum bytes of a partial response that count as progress, since a store could send single bytes forever."""

WRITE_BYTES: Final = 1 << 20
"""Bytes collected for a thread: with fewer the hand-over costs more than the write."""


@attrs.frozen(eq=False, kw_only=True)
class StoreReader:
    """Reads ranges of files.

    Attributes:
        requester: Sends the requests.
        disk: Threads that write into a sink if no transport drains into it.
        options: When a connection counts as stalled.
        rate_limit: The rate limit of all connections; ``None`` for no limit.
        clock: The time.
    """

    requester: Requester
    disk: Disk
    options: TransferOptions
    rate_limit: RateLimit | None
    clock: Clock

    @property
    def is_closed(self) -> bool:
        """Whether the client is closed, so that no further request can be sent."""
        return self.requester.http.is_closed

    @property
    def stall_limit(self) -> StallLimit:
        """When a connection counts as stalled."""
        return StallLimit(self.options.stall_seconds, self.options.stall_bytes)

    async def save(
        self,
        file: RemoteFile,
        sink: RangeSink,
        on_bytes: Callable[[int], None],
        *,
        follow_ups: FollowUpSource | None = None,
        may_drain: bool = True,
        ranged: bool = False,
    ) -> None:
        """Write the bytes of a sink's range into it as they arrive, and complete it.

        One slot at the origin is held while bytes flow, and none while waiting for another attempt.

        Args:
            file: The file; shared with other readers of it.
            sink: Takes the bytes.
            on_bytes: Called in the event loop with the number of further bytes.
            follow_ups: Further files to fetch over the same connection.
            may_drain: Whether bytes may be reported after they are written, and the sink completed before.
            ranged: Whether to request even the whole file as a range, to learn whether the store supports them.

        Raises:
            RequestFailed: The range cannot be completed; the whole file must be restarted.
            WBFilesError: Any other failure.
        """
        reading = _Reading(self, file, sink.start, lambda: sink.stop, ranged=ranged)
        async for attempt in attempts(reading.recover):
            with attempt:
                while not (sink.position > sink.start and sink.is_full):
                    begun = sink.position
                    async with reading.request(begun) as body:
                        await body.save(sink, reading.moved(on_bytes), follow_ups, may_drain=may_drain)
                    if reading.is_complete(begun, sink.position):
                        break
        if not sink.is_complete:
            await self.disk.run(sink.complete)

    async def chunks(self, file: RemoteFile, start: int, stop: int | None) -> AsyncGenerator[bytes | memoryview]:
        """Yield bytes ``[start, stop)`` of the file, in order, each once. A piece is valid until the next one.

        Args:
            file: The file.
            start: First byte.
            stop: End, exclusive; ``None`` for the end of a file whose length is unknown.

        Raises:
            RequestFailed, WBFilesError: As ``save`` does.
        """
        reading = _Reading(self, file, start, lambda: stop)
        offset = start
        async for attempt in attempts(reading.recover):
            with attempt:
                while not (stop is not None and start < stop <= offset):
                    begun = offset
                    async with reading.request(begun) as body, aclosing(body.pieces()) as pieces:
                        moved = reading.moved(lambda _: None)
                        async for piece in pieces:
                            offset += len(piece)
                            moved(len(piece))
                            yield piece
                    if reading.is_complete(begun, offset):
                        break


@attrs.define(eq=False)
class _Reading:
    """Reads ``[start, stop)`` with as many requests as necessary; the stop may be reduced meanwhile."""

    reader: StoreReader
    file: RemoteFile
    start: int
    _stop: Callable[[], int | None]
    _ranged: bool = attrs.field(default=False, alias="ranged", kw_only=True)
    _offset: int = attrs.field(init=False)
    _begun: int = attrs.field(init=False)
    _object: int = attrs.field(init=False)
    _generation: int = attrs.field(default=0, init=False)
    _round: int = attrs.field(default=0, init=False)
    _slot: RequestSlot | None = attrs.field(default=None, init=False)
    _response: StoreResponse | None = attrs.field(default=None, init=False)

    @property
    def stop(self) -> int | None:
        """The end, exclusive; ``None`` if no length is known."""
        return self._stop()

    def __attrs_post_init__(self) -> None:
        self._offset, self._object = self.start, self.file.object
        self._begun = self._offset

    @asynccontextmanager
    async def request(self, offset: int) -> AsyncIterator[_Body]:
        """Request the missing bytes from ``offset`` on; yield the body of a response with exactly these."""
        file, limits = self.file, self.reader.requester.limits
        self._offset = self._begun = offset
        if file.object != self._object:
            error = ObjectChangedError(f"{file.name}: the file was replaced while it was being read.", name=file.name)
            raise RequestFailed(RetryAction.RESTART, error)
        self._generation, self._round = file.generation, file.budget.round
        queued_at = self.reader.clock.monotonic()
        opened = file.opened
        slot = limits.slot(file.url(limits.avoided), file.name) if opened is None else opened.slot
        self._slot = slot
        async with slot:
            file.budget.exclude_queue_time(queued_at)
            stop = self.stop
            found = await self.reader.requester.get(file, offset, stop, slot, ranged=self._ranged)
            self._response = found
            try:
                yield self._validated(found, slot, stop)
            except httpx.TransportError as error:
                raise network_failure(error, name=file.name, host=host_of(found.url), offset=self._offset) from error
            finally:
                await found.response.aclose()

    def _validated(self, found: StoreResponse, slot: RequestSlot, stop: int | None) -> _Body:
        file, response = self.file, found.response
        body = validate_response(
            response.status_code,
            response.headers,
            start=self._offset,
            stop=stop,
            size=file.size,
            etag=file.etag,
            encoded=file.encoded,
        )
        if isinstance(body, Rejection):
            if body.everywhere:
                found.hop.origin.ranged = False
            raise rejected(body, file, found.url, self._offset)
        if self._ranged and response.status_code == 200:
            file.unranged = True
        file.etag = file.etag or strong_etag(response.headers)
        return _Body(self.reader, file, found, slot, start=self._offset, stop=body.stop)

    def moved(self, on_bytes: Callable[[int], None]) -> Callable[[int], None]:
        """Return the callback for further bytes."""

        def moved(count: int) -> None:
            self._offset += count
            self.file.record_progress(count)
            if self._slot is not None:
                self._slot.origin.record_bytes(count)
            on_bytes(count)

        return moved

    def is_complete(self, begun: int, offset: int) -> bool:
        """Record that a response has ended, and return whether nothing is missing.

        Args:
            begun: The first requested byte.
            offset: The first byte that has not arrived.

        Raises:
            RequestFailed: It was too short to count as progress.
        """
        if self._response is not None:
            hop = self._response.hop
            hop.origin.record_success(hop.number)
            if self._slot is not None and self._slot.origin is not hop.origin:
                self._slot.record_success()
        stop = self.stop
        if stop is None or offset >= stop:
            return True
        if offset - begun < LITTLE_BYTES:
            host = host_of(self._response.url) if self._response is not None else ""
            raise _broken_off(self.file, host, offset, f"sent only {offset - begun} of {stop - begun} bytes")
        return False

    async def recover(self, failure: RequestFailed) -> None:
        """Prepare the next request, or raise, depending on the failure."""
        file, stop, offset = self.file, self.stop, self._offset
        if failure.action is not RetryAction.REFRESH:
            file.record_answer()
        if stop is not None and self.start < stop <= offset:
            return  # every byte arrived; only the end of the message did not
        match failure.action:
            case RetryAction.REFRESH:
                await file.refresh(failure, generation=self._generation)
            case RetryAction.RETRY if stop is not None or offset == self.start:
                await self._retry(failure)
            case RetryAction.FAIL:
                raise failure.error from failure.__cause__
            case _:
                raise failure

    async def _retry(self, failure: RequestFailed) -> None:
        file, slot = self.file, self._slot
        assert slot is not None  # noqa: S101  # of the request that failed
        responder = slot.responder
        responder.record_failure(failure.error, progressed=self._offset - self._begun >= LITTLE_BYTES)
        try:
            await file.budget.spend(failure, round=self._round, pause=failure.pause)
        except WBFilesError as error:
            responder.record_exhausted((file.run, file.name), error, since=file.budget.failing_since)
            if file.fall_back():
                return
            raise


@attrs.frozen(eq=False)
class _Body:
    """The bytes ``[start, stop)`` of a file in one response.

    Attributes:
        reader: Reads them.
        file: The file.
        found: The response.
        slot: The slot of its request.
        start: First byte.
        stop: End, exclusive; ``None`` if no length is known.
    """

    reader: StoreReader
    file: RemoteFile
    found: StoreResponse
    slot: RequestSlot
    start: int = attrs.field(kw_only=True)
    stop: int | None = attrs.field(kw_only=True)

    @property
    def _host(self) -> str:
        return host_of(self.found.url)

    def _drain(self) -> Drain | None:
        """Return the response's drain, if the transport has one and the bytes need no decoding."""
        if self.file.encoded or self.reader.rate_limit is not None:
            return None
        return drain_of(self.found.response)

    def pieces(self) -> AsyncGenerator[bytes | memoryview] | AsyncGenerator[bytes]:
        """Iterate over them, decompressed if the file is compressed. A piece is valid until the next one.

        Raises:
            httpx.TransportError: The connection failed, or stalled.
            RequestFailed: They ended early. IntegrityError: There are more.
        """
        pieces = self._as_sent()
        if not self.file.encoded:
            return pieces
        return decoded(self.file, pieces, host=self._host, verify=self.reader.options.verify)

    async def _as_sent(self) -> AsyncGenerator[bytes | memoryview]:
        reader, offset = self.reader, self.start
        async with aclosing(pieces_of(self.found.response, reader.stall_limit)) as pieces:
            async for piece in pieces:
                offset += len(piece)
                if self.stop is not None and offset > self.stop:
                    raise self._too_long()
                if reader.rate_limit is not None:
                    await reader.clock.sleep(reader.rate_limit.draw(len(piece), reader.clock.monotonic()))
                yield piece
        if self.stop is not None and offset < self.stop:
            if self.start == 0 and page_of(self.file, self.found.response, b"") is not None:
                page = page_failure(self.file, self.found.url, 0, self.found.response)
                raise RequestFailed(RetryAction.RESTART, page.error)
            raise _broken_off(self.file, self._host, offset, f"ended the body at byte {offset} of {self.stop}")

    async def save(
        self, sink: RangeSink, on_bytes: Callable[[int], None], follow_ups: FollowUpSource | None, *, may_drain: bool
    ) -> None:
        """Write them into a sink.

        Raises:
            httpx.TransportError, RequestFailed, IntegrityError: As ``pieces`` does; what arrived before is written.
            LocalWriteError: The disk refuses.
        """
        reported = _ReportedSink(sink, ByteReports(on_bytes))
        try:
            if (drain := self._drain()) is not None and may_drain:
                await self._drained(drain, reported, follow_ups)
            else:
                await self._pumped(reported)
        except ExcessError:
            raise self._too_long() from None
        except CutError:
            pass  # the rest of the response is discarded with its connection
        finally:
            reported.reports.end()
        reported.reports.check()

    async def _drained(self, drain: Drain, reported: _ReportedSink, follow_ups: FollowUpSource | None) -> None:
        """Let the transport write them, and then request the follow-ups over the same connection."""
        limit, slot = self.reader.stall_limit, self.slot
        is_whole = self.start == 0 and self.stop == reported.sink.stop  # so that follow-ups can have its header fields
        if follow_ups is not None and is_whole and slot.origin.name == origin(self.found.url):
            await drain_first(drain, reported, limit, slot, follow_ups)
        else:
            await drain(reported, limit)

    async def _pumped(self, reported: _ReportedSink) -> None:
        """Write them in pieces that are large enough for a thread."""
        disk, gathered, is_complete = self.reader.disk, bytearray(), False

        def write_rest() -> None:
            if gathered:
                reported.write(memoryview(gathered))
            if is_complete:
                reported.complete()

        try:
            async with aclosing(self.pieces()) as pieces:
                async for piece in pieces:
                    gathered += piece
                    if len(gathered) >= WRITE_BYTES:
                        full, gathered = gathered, bytearray()
                        await disk.run(reported.write, memoryview(full))
            reported.reports.report_ahead(len(gathered))  # its callback may end the download before it is complete
            is_complete = True
        finally:
            if gathered or is_complete:
                await (disk.run_batched if reported.sink.is_short else disk.run)(write_rest)

    def _too_long(self) -> IntegrityError:
        size = self.stop
        return IntegrityError(
            f"{self.file.name}: {self._host} sent more than the {size} bytes that were expected. List the files again "
            "and retry.",
            name=self.file.name,
            host=self._host,
            offset=size,
            expected=str(size),
            actual=f"more than {size}",
        )


@attrs.frozen(eq=False)
class _ReportedSink:
    """A sink whose bytes are reported to the event loop, where an exception ends the writing."""

    sink: RangeSink
    reports: ByteReports

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next piece, like the sink."""
        self.reports.check()
        before = self.sink.position
        try:
            self.sink.write(piece)
        finally:
            self.reports.add(self.sink.position - before)

    def complete(self) -> None:
        """Record that the body is complete, like the sink."""
        self.sink.complete()


def _broken_off(file: RemoteFile, host: str, offset: int, reason: str) -> RequestFailed:
    """Return the failure of a response that ended too soon."""
    error = TransferError(f"{file.name}: {host} {reason}.", name=file.name, host=host, offset=offset)
    return RequestFailed(RetryAction.RETRY, error)
