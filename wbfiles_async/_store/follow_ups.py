"""Follow-ups: further small files over the connection of a first one, whose reader knows only their interface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import anyio
import attrs
import httpx

from wbfiles_async._http.extensions import BatchEnd, Drain, FollowUp, Pause, Sink, StallLimit
from wbfiles_async._store.remote_file import Opened
from wbfiles_async._store.request_slot import RequestSlot
from wbfiles_async._threads import await_to_completion

__all__ = ["FollowUpBatch", "FollowUpSource", "drain_first"]


class FollowUpSource(Protocol):
    """Further small files that can use the connection of a first one."""

    def next(self, origin: str, resume: Callable[[], None]) -> FollowUp | Pause | None:
        """Return the next file at an origin, or ``None`` to end. Called in a worker thread.

        Args:
            origin: The origin.
            resume: Ends a pause.
        """
        ...

    def completed(self, count: int, slot: RequestSlot) -> None:
        """Record the number of complete bodies, including the first one. Called in the event loop."""
        ...

    def unfinished(self, follow_up: FollowUp, opened: Opened | None, error: Exception | None) -> None:
        """Take back a file that was not completed.

        Args:
            follow_up: The file.
            opened: The outcome of its request; ``None`` if the server did not read it.
            error: What else failed.
        """
        ...

    def go_on(self, batch: FollowUpBatch) -> None:
        """Take over the batch, whose first file is complete: ``finish`` or ``abandon`` it."""
        ...


@attrs.define(eq=False)
class FollowUpBatch:
    """Follow-ups in progress, and the slot of their connection.

    Attributes:
        slot: The slot.
        task: Receives them.
    """

    _source: FollowUpSource
    slot: RequestSlot
    task: asyncio.Task[BatchEnd] | None = attrs.field(default=None, init=False)

    async def finish(self) -> None:
        """Wait for the last of them.

        Raises:
            httpx.TransportError: The first body was truncated. Exception: The exception of a callback.
        """
        assert self.task is not None  # noqa: S101
        try:
            end = await self.task
            error = end.error
            if end.unfinished is not None:
                outcome = end.response or (error if isinstance(error, httpx.TransportError) else None)
                opened = None
                if outcome is not None:
                    url = self.slot.origin.name + end.unfinished.target
                    opened = Opened(url, self.slot.transfer(), outcome)
                self._source.unfinished(end.unfinished, opened, None if outcome is error else error)
            elif error is not None and not isinstance(error, httpx.TransportError):  # that connection has done its work
                raise error
        finally:
            self.slot.release()

    async def abandon(self) -> None:
        """Stop receiving them."""
        assert self.task is not None  # noqa: S101
        self.task.cancel()
        try:
            await await_to_completion(asyncio.gather(self.task, return_exceptions=True))
        finally:
            self.slot.release()
            ended = None if self.task.cancelled() or self.task.exception() else self.task.result()
            if ended is not None and ended.response is not None:
                with anyio.CancelScope(shield=True):
                    await ended.response.aclose()


async def drain_first(drain: Drain, sink: Sink, limit: StallLimit, slot: RequestSlot, source: FollowUpSource) -> None:
    """Drain the body of the first file, and let its follow-ups go on: ``source`` takes over their batch.

    Args:
        drain: The drain of its response.
        sink: Takes its body.
        limit: When the connection counts as stalled.
        slot: The slot of its request, whose place the batch gets.
        source: The follow-ups.

    Raises:
        Exception: As the drain does, for the first body.
    """
    first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    batch = FollowUpBatch(source, slot.transfer())
    at = batch.slot.origin

    def settle(_: object = None) -> None:
        if not first.done():
            first.set_result(None)

    def on_completed(count: int) -> None:
        if count:
            settle()
        source.completed(count, batch.slot)

    batch.task = asyncio.create_task(
        drain(
            sink,
            limit,
            next_follow_up=lambda resume: source.next(at.name, resume) if at.admits else None,
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
        source.go_on(batch)
