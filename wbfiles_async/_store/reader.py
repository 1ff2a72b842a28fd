"""Reads a range of a file from its store: into a sink or to the caller, resuming truncated bodies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final

import attrs
import httpx

from wbfiles_async._clock import Clock
from wbfiles_async._disk.executor import Disk
from wbfiles_async._http.extensions import StallLimit
from wbfiles_async._options import TransferOptions
from wbfiles_async._rate_limit import RateLimit
from wbfiles_async._retry.attempts import attempts
from wbfiles_async._retry.failure import RequestFailed, RetryAction, network_failure
from wbfiles_async._store.body import ResponseBody, broken_off
from wbfiles_async._store.follow_ups import FollowUpSource
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async._store.request import Requester, StoreResponse, rejected
from wbfiles_async._store.request_slot import RequestSlot
from wbfiles_async._store.response import Rejection, strong_etag, validate_response
from wbfiles_async._store.sink import RangeSink
from wbfiles_async._urls import host_of
from wbfiles_async.errors import ObjectChangedError, WBFilesError

__all__ = ["StoreReader"]

LITTLE_BYTES: Final = 64 << 10
"""Minimum bytes of a partial response that count as progress, since a store could send single bytes forever."""


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
    async def request(self, offset: int) -> AsyncIterator[ResponseBody]:
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

    def _validated(self, found: StoreResponse, slot: RequestSlot, stop: int | None) -> ResponseBody:
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
        reader = self.reader
        return ResponseBody(
            file=file,
            found=found,
            slot=slot,
            start=self._offset,
            stop=body.stop,
            disk=reader.disk,
            stall_limit=StallLimit(reader.options.stall_seconds, reader.options.stall_bytes),
            rate_limit=reader.rate_limit,
            clock=reader.clock,
            verify=reader.options.verify,
        )

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
            raise broken_off(self.file, host, offset, f"sent only {offset - begun} of {stop - begun} bytes")
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
        file, origin = self.file, self.file.responder
        if origin is not None:
            origin.record_failure(failure.error, progressed=self._offset - self._begun >= LITTLE_BYTES)
        try:
            await file.budget.spend(failure, round=self._round, pause=failure.pause)
        except WBFilesError as error:
            if origin is not None:
                origin.record_exhausted((file.run, file.name), error, since=file.budget.failing_since)
            if file.fall_back():
                return
            raise
