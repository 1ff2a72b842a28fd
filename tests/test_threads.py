"""Worker threads: kept briefly, limited in number, and able to work if no more can be started."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wbfiles_async import _threads
from wbfiles_async._threads import FEW_THREADS, ThreadsExhaustedError, WorkerThreads

NAME = "wbfiles-test"
Make = Callable[..., WorkerThreads]


@pytest.fixture(params=[{}, {"most": 2}, {"most": 5}], ids=["unlimited", "at most 2", "at most 5"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerThreads]:
    """Threads that stay idle for longer than a test takes, and end with it."""
    monkeypatch.setattr(_threads, "KEPT_SECONDS", 100.0)
    pool = WorkerThreads(NAME, **request.param)
    yield pool
    pool.close()
    for thread in named():
        thread.join(10)
        assert not thread.is_alive()


def named() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def refuse(patch: pytest.MonkeyPatch, reason: str = "can't start new thread") -> None:
    """Prevent further threads from starting."""

    def start(thread: threading.Thread) -> Any:
        raise RuntimeError(reason)

    patch.setattr(threading.Thread, "start", start)


def hold(pool: WorkerThreads, count: int) -> threading.Event:
    """Keep that many threads busy until the event is set."""
    busy, go = threading.Barrier(count + 1, timeout=10), threading.Event()

    def wait() -> None:
        busy.wait()
        go.wait(10)

    for _ in range(count):
        pool.submit(wait)
    busy.wait()
    return go


def test_idle_thread_is_reused(threads: WorkerThreads) -> None:
    first = threads.submit(threading.get_ident).result(10)
    assert {threads.submit(threading.get_ident).result(10) for _ in range(100)} == {first}


def test_concurrent_work_gets_one_thread_each() -> None:
    pool = WorkerThreads(NAME)
    meeting = threading.Barrier(20, timeout=10)
    together = [pool.submit(meeting.wait) for _ in range(20)]
    assert sorted(future.result(10) for future in together) == list(range(20))
    pool.close()


def test_caller_waits_only_for_the_start_of_a_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, meeting, starters = WorkerThreads(NAME), threading.Barrier(20, timeout=10), list[str]()
    start = threading.Thread.start

    def recorded(thread: threading.Thread) -> None:
        starters.append(threading.current_thread().name)
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", recorded)
        for future in [pool.submit(meeting.wait) for _ in range(20)]:
            future.result(10)
    assert starters.count(threading.current_thread().name) == FEW_THREADS
    assert set(starters) <= {threading.current_thread().name, NAME}
    pool.close()


@pytest.mark.parametrize("most", [FEW_THREADS - 1, FEW_THREADS, FEW_THREADS + 1, 40])
def test_pool_starts_neither_too_many_threads_nor_too_few(most: int) -> None:
    pool, lock, at_once, highest = WorkerThreads(NAME, most=most), threading.Lock(), 0, 0
    meeting = threading.Barrier(min(most, 40), timeout=10)

    def work() -> None:
        nonlocal at_once, highest
        with lock:
            at_once += 1
            highest = max(highest, at_once)
        meeting.wait()
        with lock:
            at_once -= 1

    for _ in range(5):
        for future in [pool.submit(work) for _ in range(meeting.parties * 3)]:
            future.result(10)
        assert len(named()) <= most
    assert highest == most
    pool.close()


def test_running_threads_do_the_work_if_no_more_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, done = WorkerThreads(NAME), list[int]()
    go = hold(pool, FEW_THREADS - 1)
    with monkeypatch.context() as patch:
        start = threading.Thread.start

        def started_by_main_alone(thread: threading.Thread) -> None:
            if threading.current_thread() is not threading.main_thread():
                raise RuntimeError("can't start new thread")
            start(thread)

        patch.setattr(threading.Thread, "start", started_by_main_alone)
        outcomes = [pool.submit(lambda number=number: done.append(number)) for number in range(10)]  # type: ignore[misc]
        for outcome in outcomes:
            outcome.result(10)
        go.set()
    assert sorted(done) == list(range(10))
    pool.close()


def test_thread_limit_queues_work_in_order() -> None:
    pool, done = WorkerThreads(NAME, most=2), list[int]()
    go = hold(pool, 2)
    outcomes = [pool.submit(lambda number=number: done.append(number)) for number in range(10)]  # type: ignore[misc]
    assert (len(named()), done) == (2, [])
    go.set()
    for outcome in outcomes:
        outcome.result(10)
    assert sorted(done) == list(range(10))
    assert len(named()) <= 2
    pool.close()


def test_failure_is_delivered_and_the_thread_continues(threads: WorkerThreads) -> None:
    assert isinstance(threads.submit(lambda: int("x")).exception(10), ValueError)
    assert threads.submit(lambda: 1).result(10) == 1
    assert len(named()) == 1


def test_work_cancelled_before_its_start_never_runs() -> None:
    pool, done = WorkerThreads(NAME, most=1), list[int]()
    go = hold(pool, 1)
    cancelled = pool.submit(lambda: done.append(1))
    assert cancelled.cancel()
    go.set()
    pool.submit(lambda: done.append(2)).result(10)
    assert done == [2]
    pool.close()


def test_thread_without_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "KEPT_SECONDS", 0.01)
    pool = WorkerThreads(NAME, most=1)
    for _ in range(3):
        thread = pool.submit(threading.current_thread).result(10)
        thread.join(10)
        assert not thread.is_alive()


def test_work_after_closing_the_pool_still_runs(threads: WorkerThreads) -> None:
    go = hold(threads, 2)
    waiting = threads.submit(lambda: 1)
    threads.close()
    go.set()
    assert waiting.result(10) == 1
    for thread in named():
        thread.join(10)
        assert not thread.is_alive()
    assert [threads.submit(lambda: 2).result(10) for _ in range(3)] == [2] * 3


def test_caller_runs_the_work_at_exit(threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        refuse(patch, "can't create new thread at interpreter shutdown")
        assert threads.submit(threading.get_ident).result(0) == threading.get_ident()


def test_work_without_threads_is_refused_before_exit(threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        refuse(patch)
        with pytest.raises(ThreadsExhaustedError, match="no further thread"):
            threads.submit(threading.get_ident)
    assert threads.submit(lambda: 1).result(10) == 1


def test_existing_threads_do_the_work_once(threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    go, done = hold(threads, 1), list[int]()
    with monkeypatch.context() as patch:
        refuse(patch)
        outcomes = [threads.submit(lambda number=number: done.append(number)) for number in range(5)]  # type: ignore[misc]
        assert done == []
        go.set()
        for outcome in outcomes:
            outcome.result(10)
    assert done == list(range(5))
