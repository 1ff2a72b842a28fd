"""A thread for many small responses over several connections.

A small response takes a few dozen short steps, each of which needs Python's lock. One thread runs them in sequence;
divided between the event loop and other threads they would mostly wait for the lock. So the thread takes over a
connection with the first response, sends its follow-ups, and reports the number of complete ones to the event loop a
few times per second. If the sinks block the thread, as on a network disk, many threads pass bodies to them.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final

import httpx

from wbfiles_async._http.batch import ConnectionBatch
from wbfiles_async._http.sink_threads import SinkThreads
from wbfiles_async._threads import start_thread

__all__ = ["BatchWorker"]

REPORT_SECONDS: Final = 0.02
"""Minimum seconds between reports to the event loop."""

CHECK_SECONDS: Final = 0.1
"""Seconds between checks for stalled connections."""

IDLE_SECONDS: Final = 1.0
"""Seconds that an idle thread waits for work: longer than between sequential requests."""

_Filled = tuple[ConnectionBatch, int, Exception | None]
"""A batch, the number of a body that another thread passed to its sink, and the exception of the sink."""


class BatchWorker:
    """A thread shared by batches. It lasts while there are any, and briefly longer.

    Attributes:
        sinks: Passes bodies to their sinks.
        batches: The current number of batches.
    """

    def __init__(self, sinks: SinkThreads) -> None:
        self.sinks = sinks
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._new: list[ConnectionBatch] = []
        self._filled: list[_Filled] = []
        self._unpaused: list[ConnectionBatch] = []
        self._some_abandoned = False
        self._asleep = False
        self._waker: socket.socket | None = None  # exists while the thread does
        self._idle_seconds = IDLE_SECONDS
        self.batches = 0

    # In the loop.

    def begin(self, batch: ConnectionBatch) -> None:
        """Receive a batch.

        Raises:
            ThreadsExhaustedError: No thread can be started.
            OSError: The descriptors for it cannot be opened.
        """
        batch.worker = self
        with self._lock:
            if self._waker is None:
                self._waker = self._start()
            self._new.append(batch)
            self.batches += 1
            self._wake()

    def _start(self) -> socket.socket:
        """Start the thread, and return the socket that wakes it."""
        with ExitStack() as opened:
            selector = opened.enter_context(selectors.DefaultSelector())
            waker, wakened = map(opened.enter_context, socket.socketpair())
            selector.register(wakened, selectors.EVENT_READ)
            start_thread(partial(self._run, selector, waker, wakened), "wbfiles-batch")
            opened.pop_all()  # the thread closes them
        return waker

    def close(self) -> None:
        """Let the thread end as soon as no batch is left. Does not wait."""
        with self._lock:
            self._idle_seconds = 0.0
            self._wake()

    def check_soon(self) -> None:
        """Make the thread check for abandoned batches."""
        with self._lock:
            self._some_abandoned = True
            self._wake()

    # In any thread.

    def on_filled(self, batch: ConnectionBatch, number: int, error: Exception | None) -> None:
        """Notify the thread of a body that another thread passed to its sink."""
        with self._lock:
            self._filled.append((batch, number, error))
            self._wake()

    def end_pause(self, batch: ConnectionBatch) -> None:
        """Make the thread request the follow-up that a batch awaits."""
        with self._lock:
            self._unpaused.append(batch)
            self._wake()

    def _wake(self) -> None:
        if self._asleep and self._waker is not None:
            self._asleep = False
            self._waker.send(b"!")

    def _report(self, progressed: Sequence[ConnectionBatch], over: Sequence[ConnectionBatch]) -> None:
        self.batches -= len(over)
        for batch in progressed:
            batch.notify(over=False)
        for batch in over:
            batch.notify(over=True)

    # In the thread.

    def _report_soon(self, progressed: Sequence[ConnectionBatch], over: Sequence[ConnectionBatch]) -> None:
        with suppress(RuntimeError):  # the event loop was closed; no task waits any more
            self._loop.call_soon_threadsafe(partial(self._report, progressed, over))

    def _run(self, selector: selectors.BaseSelector, waker: socket.socket, wakened: socket.socket) -> None:
        with selector, waker, wakened:
            poller = _Poller(selector, self._report_soon)
            while True:
                with self._lock:
                    new, self._new = self._new, []
                    filled, self._filled = self._filled, []
                    unpaused, self._unpaused = self._unpaused, []
                    check, self._some_abandoned = self._some_abandoned, False
                    if not new and not filled and poller.idle_since + self._idle_seconds <= time.monotonic():
                        self._waker = None
                        return
                    self._asleep = not (new or filled or unpaused or check)
                poller.receive(new, filled)
                try:
                    poller.begin_and_resume()
                    poller.end_pauses(unpaused)
                    poller.poll(wait=self._asleep)
                    self._asleep = False
                    poller.report(check=check)
                except BaseException as error:  # raised where the batches are awaited
                    poller.fail_all(error)


class _Poller:
    """The loop of the thread: wait for events, process them, and report to the event loop."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        report: Callable[[Sequence[ConnectionBatch], Sequence[ConnectionBatch]], object],
    ) -> None:
        self._selector = selector
        self._report = report
        self._active: set[ConnectionBatch] = set()
        self._ending: set[ConnectionBatch] = set()
        self._new: deque[ConnectionBatch] = deque()
        self._filled: deque[_Filled] = deque()
        self._progressed: set[ConnectionBatch] = set()
        self._over: list[ConnectionBatch] = []
        self._some_await = False
        self._now = self._checked_at = self._reported_at = 0.0
        self._clock = time.monotonic()

    @property
    def idle_since(self) -> float:
        """Monotonic seconds; infinite while there is something to do."""
        return math.inf if self._active or self._ending or self._progressed or self._over else self._clock

    def receive(self, new: Sequence[ConnectionBatch], filled: Sequence[_Filled]) -> None:
        """Take over new batches, and the bodies that other threads passed to sinks. Never fails."""
        self._active.update(new)
        self._new += new
        self._filled += filled

    def begin_and_resume(self) -> None:
        """Start new batches, and continue others after their sinks were filled."""
        while self._new:
            batch = self._new.popleft()
            if batch in self._active:
                self._watch(batch)
                self._after(batch, goes_on=batch.start(self._now))
        while self._filled:
            batch, number, error = self._filled.popleft()
            goes_on = batch.on_filled(number, error, self._now)
            if batch in self._ending:
                self._end(batch)
            elif batch in self._active:
                self._after(batch, goes_on=goes_on)

    def end_pauses(self, batches: Sequence[ConnectionBatch]) -> None:
        """Request the follow-ups that batches await."""
        for batch in batches:
            if batch in self._active:
                self._after(batch, goes_on=batch.end_pause(self._now))

    def poll(self, *, wait: bool) -> None:
        """Process received bytes."""
        seconds = REPORT_SECONDS if self._progressed else CHECK_SECONDS if self._active else IDLE_SECONDS
        for key, _ in self._selector.select(seconds if wait and not self._over else 0):
            batch: ConnectionBatch | None = key.data
            if batch is not None:
                self._after(batch, goes_on=batch.on_ready(self._now))
            elif isinstance(key.fileobj, socket.socket):
                key.fileobj.recv(64)
        # A longer round is due to the disk, not to a connection.
        clock = time.monotonic()
        self._now += min(clock - self._clock, CHECK_SECONDS)
        if self._active or self._over:
            self._clock = clock

    def report(self, *, check: bool) -> None:
        """Check for stalls, and report to the event loop, when due."""
        if check or self._now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = self._now
            for batch in [batch for batch in self._active if not batch.check(self._now)]:
                self._end(batch)
        due = self._some_await or self._now - self._reported_at >= REPORT_SECONDS
        if self._over or (self._progressed and due):
            self._reported_at, self._some_await = self._now, False
            progressed, over = [*self._progressed], self._over
            self._progressed, self._over = set(), []
            self._report(progressed, over)

    def fail_all(self, error: BaseException) -> None:
        """End all batches with an error that none of them caused, as if their connections were broken."""
        for batch in [*self._active]:
            if batch.failure is None:
                batch.failure = httpx.ReadError(f"the thread that received it failed: {type(error).__name__}")
                batch.failure.__cause__ = error
            self._end(batch)
        over, self._over = self._over, []
        self._progressed.clear()
        self._report([], over)

    def _after(self, batch: ConnectionBatch, *, goes_on: bool) -> None:
        if not goes_on:
            self._end(batch)
            return
        self._progressed.add(batch)
        self._some_await |= batch.awaits_follow_up  # the task waiting for its last body may provide the next follow-up
        self._watch(batch)

    def _watch(self, batch: ConnectionBatch) -> None:
        """Wait for the event that a batch needs next, on its present socket."""
        wanted = batch.to_watch
        if wanted == batch.watched:
            return
        self._unwatch(batch)
        if wanted is not None:
            self._selector.register(*wanted, batch)
        batch.watched = wanted

    def _unwatch(self, batch: ConnectionBatch) -> None:
        if batch.watched is not None:
            with suppress(KeyError, ValueError):  # the socket may be closed
                self._selector.unregister(batch.watched[0])
            batch.watched = None

    def _end(self, batch: ConnectionBatch) -> None:
        self._unwatch(batch)
        self._active.discard(batch)
        self._progressed.discard(batch)
        if batch.filling:
            self._ending.add(batch)
        else:
            self._ending.discard(batch)
            self._over.append(batch)
