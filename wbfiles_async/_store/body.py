"""The body of one response: into a sink, with the transport's drain or in pieces, or to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import attrs

from wbfiles_async._clock import Clock
from wbfiles_async._disk.executor import Disk
from wbfiles_async._http.body import pieces_of
from wbfiles_async._http.extensions import Drain, StallLimit, drain_of
from wbfiles_async._rate_limit import RateLimit
from wbfiles_async._retry.failure import RequestFailed, RetryAction
from wbfiles_async._store.decoding import decoded
from wbfiles_async._store.follow_ups import FollowUpBatch, FollowUpSource
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async._store.request import StoreResponse, page_failure, page_of
from wbfiles_async._store.request_slot import RequestSlot
from wbfiles_async._store.sink import CutError, ExcessError, RangeSink, ReportingSink
from wbfiles_async._urls import host_of, origin
from wbfiles_async.errors import IntegrityError, TransferError

__all__ = ["ResponseBody", "broken_off"]

WRITE_BYTES: Final = 1 << 20
"""Bytes collected for a thread: with fewer the hand-over costs more than the write."""


@attrs.frozen(eq=False, kw_only=True)
class ResponseBody:
    """The bytes ``[start, stop)`` of a file in one response.

    Attributes:
        file: The file.
        found: The response.
        slot: The slot of its request.
        start: First byte.
        stop: End, exclusive; ``None`` if no length is known.
        disk: Threads that write into a sink if no transport drains into it.
        stall_limit: When the connection counts as stalled.
        rate_limit: The rate limit of all connections; ``None`` for no limit.
        clock: The time.
        verify: Whether to compare the md5 of decompressed bytes, too.
    """

    file: RemoteFile
    found: StoreResponse
    slot: RequestSlot
    start: int
    stop: int | None
    disk: Disk
    stall_limit: StallLimit
    rate_limit: RateLimit | None
    clock: Clock
    verify: bool

    @property
    def _host(self) -> str:
        return host_of(self.found.url)

    def _drain(self) -> Drain | None:
        """Return the response's drain, if the transport has one and the bytes need no decoding."""
        if self.file.encoded or self.rate_limit is not None:
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
        return decoded(self.file, pieces, host=self._host, verify=self.verify)

    async def _as_sent(self) -> AsyncGenerator[bytes | memoryview]:
        rate_limit, clock, offset = self.rate_limit, self.clock, self.start
        async with aclosing(pieces_of(self.found.response, self.stall_limit)) as pieces:
            async for piece in pieces:
                offset += len(piece)
                if self.stop is not None and offset > self.stop:
                    raise self._too_long()
                if rate_limit is not None:
                    await clock.sleep(rate_limit.draw(len(piece), clock.monotonic()))
                yield piece
        if self.stop is not None and offset < self.stop:
            if self.start == 0 and page_of(self.file, self.found.response, b"") is not None:
                page = page_failure(self.file, self.found.url, 0, self.found.response)
                raise RequestFailed(RetryAction.RESTART, page.error)
            raise broken_off(self.file, self._host, offset, f"ended the body at byte {offset} of {self.stop}")

    async def save(
        self, sink: RangeSink, on_bytes: Callable[[int], None], follow_ups: FollowUpSource | None, *, may_drain: bool
    ) -> None:
        """Write them into a sink.

        Raises:
            httpx.TransportError, RequestFailed, IntegrityError: As ``pieces`` does; what arrived before is written.
            LocalWriteError: The disk refuses.
        """
        reported = ReportingSink(sink, on_bytes)
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
            reported.end()
        reported.check()

    async def _drained(self, drain: Drain, sink: ReportingSink, follow_ups: FollowUpSource | None) -> None:
        """Let the transport write them, and then request the follow-ups over the same connection."""
        limit = self.stall_limit
        where = origin(self.found.url)
        is_whole = self.start == 0 and self.stop == sink.stop  # follow-ups have the header fields of this request
        if follow_ups is None or self.slot.origin.name != where or not is_whole:
            await drain(sink, limit)
            return
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch = FollowUpBatch(follow_ups, self.slot.transfer())

        def settle(_: object = None) -> None:
            if not first.done():
                first.set_result(None)

        def on_completed(count: int) -> None:
            if count:
                settle()
            follow_ups.completed(count, batch.slot)

        admits = batch.slot.origin
        batch.task = asyncio.create_task(
            drain(
                sink,
                limit,
                next_follow_up=lambda resume: follow_ups.next(where, resume) if admits.admits else None,
                on_completed=on_completed,
            )
        )
        batch.task.add_done_callback(settle)
        try:
            await first
        except BaseException:
            await batch.abandon()
            raise
        if batch.task.done():
            await batch.finish()
        else:
            follow_ups.go_on(batch)

    async def _pumped(self, sink: ReportingSink) -> None:
        """Write them in pieces that are large enough for a thread."""
        disk, gathered, is_complete = self.disk, bytearray(), False

        def write_rest() -> None:
            if gathered:
                sink.write(memoryview(gathered))
            if is_complete:
                sink.complete()

        try:
            async with aclosing(self.pieces()) as pieces:
                async for piece in pieces:
                    gathered += piece
                    if len(gathered) >= WRITE_BYTES:
                        full, gathered = gathered, bytearray()
                        await disk.run(sink.write, memoryview(full))
            sink.report_ahead(len(gathered))
            is_complete = True
        finally:
            if gathered or is_complete:
                await (disk.run_batched if sink.is_short else disk.run)(write_rest)

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


def broken_off(file: RemoteFile, host: str, offset: int, reason: str) -> RequestFailed:
    """Return the failure of a response that ended too soon."""
    error = TransferError(f"{file.name}: {host} {reason}.", name=file.name, host=host, offset=offset)
    return RequestFailed(RetryAction.RETRY, error)
