"""A small response and its follow-ups over one connection, received in the thread of a `batch_worker`.

Only complete, expected responses are handled here. Anything else ends a batch: the connection, with the bytes
received, returns to the event loop. While there is no follow-up, but may be soon, the connection pauses until the
thread is woken or the server closes it. A connection that the server closes between responses is renewed, except with
TLS.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import attrs
import httpx

from wbfiles_async._http.connection import CUT_SHORT, Connection
from wbfiles_async._http.errors import StaleConnectionError
from wbfiles_async._http.extensions import FollowUp, NextFollowUp, Pause, Sink, StallLimit
from wbfiles_async._http.http1 import ResponseHead
from wbfiles_async._http.sink_threads import SinkThreads
from wbfiles_async._http.stall import StallDetector
from wbfiles_async._threads import await_to_completion

__all__ = ["ConnectionBatch"]


class _Worker(Protocol):
    """The thread of a batch, as far as the batch needs it. Any thread may call its methods."""

    @property
    def sinks(self) -> SinkThreads:
        """Passes bodies to their sinks."""
        ...

    def check_soon(self) -> None:
        """Make the thread check for abandoned batches."""
        ...

    def end_pause(self, batch: ConnectionBatch) -> None:
        """Make the thread request the follow-up that a batch awaits."""
        ...

    def on_filled(self, batch: ConnectionBatch, number: int, error: Exception | None) -> None:
        """Notify the thread of a body that another thread passed to its sink."""
        ...


@attrs.define(eq=False)
class ConnectionBatch:
    """A response and its follow-ups over one connection.

    Args:
        connection: Within the first response. Only the batch uses it until it has ended.
        head: The head of that response, with a length.
        sink: Takes the first body.
        limit: When the connection counts as stalled.
        connect_timeout: Seconds within which the connection must be renewed.
        read_timeout: Seconds within which the head of each further response must be complete.
        request: Returns the head of the request for a follow-up.
        next_follow_up: Returns the next follow-up; ``None`` for no follow-ups.
        on_completed: Called in the loop with the number of complete bodies.

    Attributes:
        head: The head of the last response.
        pending: The follow-up that was sent last; ``None`` before the first.
        is_unexpected: Whether the response with that head is not as expected, or truncated. Then the connection is
            within it.
        failure: The error that ended the batch; ``None`` without an error.
        filling: Bodies that other threads pass to their sinks.
        is_paused: Whether nothing is sent or received before the first body is complete.
        is_connecting: Whether the connection is being renewed, since the server has closed it.
        worker: Its thread, once it has begun.
        watched: The socket and the event that the thread waits for; ``None`` if it waits for none.
    """

    connection: Connection
    head: ResponseHead | None
    sink: Sink
    limit: StallLimit
    connect_timeout: float
    read_timeout: float
    request: Callable[[str], bytes]
    next_follow_up: NextFollowUp | None
    on_completed: Callable[[int], None] | None
    pending: FollowUp | None = attrs.field(default=None, init=False)
    is_unexpected: bool = attrs.field(default=False, init=False)
    failure: Exception | None = attrs.field(default=None, init=False)
    filling: int = attrs.field(default=0, init=False)
    is_paused: bool = attrs.field(default=False, init=False)
    is_connecting: bool = attrs.field(default=False, init=False)
    watched: tuple[socket.socket, int] | None = attrs.field(default=None, init=False)
    worker: _Worker | None = attrs.field(default=None, init=False)
    _awaits_until: float | None = attrs.field(default=None, init=False)
    _length: int = attrs.field(default=0, init=False)
    _sent: int = attrs.field(default=1, init=False)
    _arrived: int = attrs.field(default=0, init=False)
    _completed: int = attrs.field(default=0, init=False)
    _ahead: set[int] = attrs.field(factory=set, init=False)
    _is_abandoned: bool = attrs.field(default=False, init=False)
    _sent_at: float = attrs.field(default=0.0, init=False)
    _checked_at: float = attrs.field(default=0.0, init=False)
    _received: int = attrs.field(default=0, init=False)
    _detector: StallDetector = attrs.field(init=False)
    _over: asyncio.Future[None] = attrs.field(factory=lambda: asyncio.get_running_loop().create_future(), init=False)

    def __attrs_post_init__(self) -> None:
        self._detector = StallDetector(self.limit.seconds, self.limit.least)
        self._received = self.connection.received
        self._length = (self.head.length if self.head else None) or 0

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection can be used for further requests."""
        return self.connection.is_idle and (self.head is None or self.head.keep_alive)

    @property
    def broke_off(self) -> bool:
        """Whether the first body is not complete."""
        return self._completed == 0

    @property
    def awaits_follow_up(self) -> bool:
        """Whether a response is complete, and there may be a follow-up soon."""
        return self._awaits_until is not None

    @property
    def to_watch(self) -> tuple[socket.socket, int] | None:
        """The socket and the event to wait for; ``None`` for none."""
        if self.is_paused:
            return None
        return self.connection.socket, selectors.EVENT_WRITE if self.is_connecting else selectors.EVENT_READ

    @property
    def unfinished(self) -> FollowUp | None:
        """The follow-up that was sent, and whose response is not complete."""
        return self.pending if self._sent > self._completed else None

    # In the loop.

    async def wait(self) -> None:
        """Wait for the end of the batch. If cancelled, the thread stops working on it."""
        await await_to_completion(self._over, interrupt=self._abandon)

    def _abandon(self) -> None:
        self._is_abandoned = True
        if self.worker is not None:
            self.worker.check_soon()

    def notify(self, *, over: bool) -> None:
        """Report the number of complete bodies, and the end."""
        try:
            if self.on_completed is not None and not self._is_abandoned:
                self.on_completed(self._completed)
        except Exception as error:  # raised when the batch is awaited
            self.failure = self.failure or error
            self._abandon()
        if over and not self._over.done():
            self._over.set_result(None)

    # In the thread. Each returns whether the batch continues.

    def start(self, now: float) -> bool:
        """Start with the bytes that have arrived."""
        self._checked_at = self._sent_at = now
        self.connection.reserve(self._length)
        return self._attempt(self._advance if self.connection.has_ended else self._receive, now)

    def on_ready(self, now: float) -> bool:
        """Receive, and process the bytes; or send the request, once connected."""
        if self.is_connecting:
            return self._attempt(self._send_on_renewed, now)
        return self._attempt(self._receive_nothing if self.awaits_follow_up else self._receive, now)

    def end_pause(self, now: float) -> bool:
        """Send the next follow-up, if one was awaited and is available."""
        return self._attempt(self._end_pause, now) if self.awaits_follow_up else True

    def check(self, now: float) -> bool:
        """Return whether the batch is still active, and its connection has not stalled."""
        if self._is_abandoned:
            return False
        if self.is_paused:  # nothing is expected from the connection
            self._checked_at = now
            return True
        if self._awaits_until is not None:
            return now < self._awaits_until or self.end_pause(now)
        if self.is_connecting:
            self._checked_at = now
            if now - self._sent_at < self.connect_timeout:
                return True
            self.fail(httpx.ConnectTimeout("no connection in time"))
            return False
        arrived, self._received = self.connection.received - self._received, self.connection.received
        stalled = self._detector.stall(now - self._checked_at, arrived)
        self._checked_at = now
        if self.head is None and now - self._sent_at >= self.read_timeout:
            stalled = "no response in time"
        if stalled:
            self.fail(httpx.ReadTimeout(stalled))
        return not stalled

    def fail(self, error: Exception) -> None:
        """End the batch with an error; the sink of a truncated first body has the bytes that arrived."""
        self.failure = error
        if self.broke_off:
            with suppress(Exception):  # the first error is the one to report
                self._write_partial()

    def _write_partial(self) -> None:
        if arrived := self.connection.take(self._length):
            self.sink.write(arrived)

    def _attempt(self, step: Callable[[float], bool], now: float) -> bool:
        try:
            return step(now)
        except StaleConnectionError:
            return False
        except Exception as error:  # raised when the batch is awaited
            self.failure = error
            return False

    def _receive(self, now: float) -> bool:
        more = True
        while more:
            more = self.connection.receive()
            if not self._advance(now):
                return False
        return True

    def _receive_nothing(self, _: float) -> bool:
        """Handle an event without a request: the server can only close the connection."""
        self.connection.receive()
        if self.connection.held:
            self.connection.close()
        return self.connection.is_idle

    def _end_pause(self, now: float) -> bool:
        assert self.head is not None  # noqa: S101  # of the last response
        self._awaits_until = None
        self._checked_at, self._received = now, self.connection.received
        return self._send_next(now, self.head)

    def _advance(self, now: float) -> bool:
        connection = self.connection
        if self.head is None:
            self.head = connection.read_head()
            if self.head is None:
                return True
            assert self.pending is not None  # noqa: S101  # without a head a follow-up has been sent
            if not self.pending.accepts(self.head):
                self.is_unexpected = True
                return False
        body = connection.take_whole(self._length)
        if body is None:
            if connection.has_ended:
                self.is_unexpected = True
                if self.broke_off:
                    self.fail(connection.broken(CUT_SHORT))
                return False
            return True
        sink, head = self.sink, self.head
        if not self._arrived:  # an exception of its sink ends the batch, so no request may have been sent
            self.is_paused = not self._fill(sink, body)
            return self.is_paused or self._send_next(now, head)
        try:  # the next request is sent while the disk works
            return self._send_next(now, head)
        finally:
            self._fill(sink, body)

    def _fill(self, sink: Sink, body: memoryview) -> bool:
        """Pass a body to its sink; return whether it is complete, or still in another thread."""
        assert self.worker is not None  # noqa: S101  # the thread that this runs in
        number, self._arrived = self._arrived, self._arrived + 1
        if self.worker.sinks.fill(sink, body, partial(self.worker.on_filled, self, number)):
            self._count(number)
            return True
        self.filling += 1
        return False

    def _count(self, number: int) -> None:
        """Count a complete body; bodies after an incomplete one count later."""
        self._ahead.add(number)
        while self._completed in self._ahead:
            self._ahead.remove(self._completed)
            self._completed += 1

    def on_filled(self, number: int, error: Exception | None, now: float) -> bool:
        """Process a body that another thread has passed to its sink."""
        self.filling -= 1
        if error is not None:
            self.failure = self.failure or error
            return False
        self._count(number)
        if not self.is_paused or self.failure is not None:
            return True
        self.is_paused = False
        head = self.head
        assert head is not None  # noqa: S101  # the first one's
        return self._attempt(lambda now: self._send_next(now, head), now)

    def _send_next(self, now: float, head: ResponseHead) -> bool:
        if self._is_abandoned or self.next_follow_up is None:
            return False
        connection = self.connection
        is_open = head.keep_alive and connection.is_idle and connection.is_reusable
        if not is_open and connection.is_encrypted:
            return False
        assert self.worker is not None  # noqa: S101  # the thread that this runs in
        follow_up = self.next_follow_up(partial(self.worker.end_pause, self))
        if follow_up is None:
            return False
        if isinstance(follow_up, Pause):
            self._awaits_until = now + follow_up.seconds
            return is_open
        self.pending, self.sink, self._length = follow_up, follow_up.sink, follow_up.length
        self.head, self._sent_at = None, now
        self._sent += 1
        if is_open:
            connection.send_whole(self.request(follow_up.target), follow_up.length)
        else:
            connection.renew()
            self.is_connecting = True
        return True

    def _send_on_renewed(self, _: float) -> bool:
        self.connection.finish_renewal()
        self.is_connecting = False
        assert self.pending is not None  # noqa: S101  # it was taken before the renewal
        self.connection.send_whole(self.request(self.pending.target), self._length)
        return True
