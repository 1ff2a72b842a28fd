"""Threads that are kept for a moment."""

from __future__ import annotations

import hashlib
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async import _threads as workers
from wbfiles_async._threads import LONG_WAIT, Waiting, WorkerThreads


def test_a_thread_that_is_free_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "KEPT_SECONDS", 30.0)
    threads = WorkerThreads()
    first = threads.submit(threading.get_ident).result(timeout=10)
    assert {threads.submit(threading.get_ident).result(timeout=10) for _ in range(100)} == {first}


def test_work_side_by_side_has_a_thread_each() -> None:
    threads = WorkerThreads()
    meeting = threading.Barrier(5, timeout=10)
    together = [threads.submit(meeting.wait) for _ in range(5)]
    assert sorted(future.result(timeout=10) for future in together) == list(range(5))


def test_a_failure_is_delivered_and_the_thread_goes_on() -> None:
    threads = WorkerThreads()

    def fail() -> None:
        raise LookupError("on purpose")

    with pytest.raises(LookupError):
        threads.submit(fail).result(timeout=10)
    assert threads.submit(lambda: 1).result(timeout=10) == 1


def test_a_thread_without_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "KEPT_SECONDS", 0.01)
    threads = WorkerThreads()
    thread = threads.submit(threading.current_thread).result(timeout=10)
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert threads.submit(lambda: 1).result(timeout=10) == 1


def test_threads_end_with_their_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "KEPT_SECONDS", 30.0)
    threads = WorkerThreads()
    busy, go_on = threading.Event(), threading.Event()

    def work() -> threading.Thread:
        busy.set()
        go_on.wait(10)
        return threading.current_thread()

    free = threads.submit(threading.current_thread).result(timeout=10)
    meeting = threading.Barrier(2, timeout=10)
    threads.submit(meeting.wait)
    working = threads.submit(work)
    meeting.wait()
    busy.wait(10)
    threads.close()
    free.join(timeout=10)
    assert not free.is_alive()
    go_on.set()
    last = working.result(timeout=10)
    last.join(timeout=10)
    assert not last.is_alive()


@given(st.lists(st.floats(0, 10 * LONG_WAIT)))
def test_waiting_is_long_where_each_of_the_last_jobs_had_to_wait(waits: list[float]) -> None:
    waiting = Waiting()
    for seconds in waits:
        waiting.record(seconds)
    last = waits[-8:]
    assert waiting.is_long == (len(last) == 8 and min(last) >= LONG_WAIT)


def test_jobs_that_wait_are_told_from_jobs_that_work() -> None:
    waiting, working = Waiting(), Waiting()
    data = bytes(1 << 20)
    for _ in range(200):  # on a machine that is busy many of them say nothing
        waiting.measure(lambda: time.sleep(3 * LONG_WAIT))
        working.measure(lambda: hashlib.md5(data).digest())
        assert not working.is_long
        if waiting.is_long:
            return
    pytest.fail("nothing of the waiting was noticed")


def test_a_job_that_fails_is_measured_and_fails() -> None:
    waiting = Waiting()
    for _ in range(200):
        with pytest.raises(LookupError):
            waiting.measure(_wait_and_fail)
        if waiting.is_long:
            return
    pytest.fail("nothing of the waiting was noticed")


def _wait_and_fail() -> None:
    time.sleep(3 * LONG_WAIT)
    raise LookupError("on purpose")
