"""Bodies for sinks that block their thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import attrs
import pytest

from wbfiles_async import _threads
from wbfiles_async._http.sink_threads import SinkThreads
from wbfiles_async._threads import WorkerThreads
from wbfiles_async._waiting import LONG_WAIT, MANY_THREADS

BODY = b"body"


@attrs.define(eq=False)
class Sink:
    """A sink with an action, which records its bodies and threads."""

    do: Callable[[], object]
    body: bytes = b""
    thread: int = 0

    def write(self, piece: bytes | memoryview) -> None:
        self.do()
        self.body, self.thread = bytes(piece), threading.get_ident()

    def complete(self) -> None:
        pass


def wait() -> None:
    time.sleep(3 * LONG_WAIT)


def unexpected(error: Exception | None) -> None:
    raise AssertionError


@pytest.fixture
def slow() -> SinkThreads:
    """Sinks of a disk with latency."""
    sinks = SinkThreads(WorkerThreads("wbfiles-test"))
    while not sinks._waiting.is_long:
        sinks.fill(Sink(wait), memoryview(BODY), lambda _: None)
    return sinks


def test_sinks_that_do_not_wait_are_filled_in_the_same_thread() -> None:
    sinks = SinkThreads(WorkerThreads("wbfiles-test"))
    for _ in range(100):
        sink = Sink(lambda: None)
        assert sinks.fill(sink, memoryview(BODY), unexpected)
        assert (sink.body, sink.thread) == (BODY, threading.get_ident())


def test_sinks_that_wait_do_so_at_the_same_time(slow: SinkThreads) -> None:
    meeting, filled = threading.Barrier(MANY_THREADS, timeout=10), SimpleQueue[Exception | None]()
    sinks = [Sink(meeting.wait) for _ in range(MANY_THREADS)]
    for sink in sinks:
        assert not slow.fill(sink, memoryview(BODY), filled.put)
    assert [filled.get(timeout=10) for _ in sinks] == [None] * MANY_THREADS
    assert {sink.body for sink in sinks} == {BODY}


def test_buffer_may_be_reused_while_a_sink_waits(slow: SinkThreads) -> None:
    go_on, filled = threading.Event(), SimpleQueue[Exception | None]()
    sink, buffer = Sink(lambda: go_on.wait(10)), bytearray(BODY)
    slow.fill(sink, memoryview(buffer), filled.put)
    buffer[:] = b"next"
    go_on.set()
    assert filled.get(timeout=10) is None
    assert sink.body == BODY


def test_error_is_raised_or_reported_across_threads(slow: SinkThreads) -> None:
    def fail() -> None:
        raise OSError("full")

    filled = SimpleQueue[Exception | None]()
    with pytest.raises(OSError, match="full"):
        SinkThreads(WorkerThreads("wbfiles-test")).fill(Sink(fail), memoryview(BODY), unexpected)
    assert not slow.fill(Sink(fail), memoryview(BODY), filled.put)
    assert isinstance(filled.get(timeout=10), OSError)


def test_sink_is_filled_without_further_threads(slow: SinkThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise _threads.ThreadsExhaustedError("no thread")

    slow._threads.close()
    monkeypatch.setattr(_threads, "start_thread", refuse)
    sink, filled = Sink(lambda: None), SimpleQueue[Exception | None]()
    slow.fill(sink, memoryview(BODY), filled.put)
    assert filled.get(timeout=10) is None
    assert (sink.body, sink.thread) == (BODY, threading.get_ident())


def test_fast_disk_returns_to_one_thread(slow: SinkThreads) -> None:
    filled = SimpleQueue[Exception | None]()
    assert not slow.fill(Sink(lambda: None), memoryview(BODY), filled.put)
    assert filled.get(timeout=10) is None
    assert slow.fill(Sink(lambda: None), memoryview(BODY), unexpected)
