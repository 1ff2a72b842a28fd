"""The threads that file work is done in: few, lasting, and able to do without more of themselves."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from wbfiles_async import TransferError
from wbfiles_async._disk.executor import LastingThreads

NAME = "wbfiles-test"


def named() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]


def ends(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be started, as under a limit of processes, and in an interpreter of Python 3.12.1 that exits."""

    def start(thread: threading.Thread) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_no_more_threads_than_allowed_do_the_work() -> None:
    threads = LastingThreads(2, thread_name_prefix=NAME)
    both, go = threading.Barrier(3), threading.Event()

    def work(number: int) -> int:
        if number < 2:
            both.wait(10)
            go.wait(10)
        return number

    outcomes = [threads.submit(work, number) for number in range(10)]
    both.wait(10)
    assert len(named()) == 2
    go.set()
    assert [outcome.result(10) for outcome in outcomes] == list(range(10))
    threads.shutdown()
    ends(named())


def test_one_after_the_other_is_done_by_one_thread() -> None:
    threads = LastingThreads(4, thread_name_prefix=NAME)
    workers = set()
    for _ in range(20):
        workers.add(threads.submit(threading.get_ident).result(10))
        assert threads._free.acquire(timeout=10)  # the outcome is known a moment before the thread is free
        threads._free.release()
    assert len(workers) == 1
    threads.shutdown()
    ends(named())


def test_errors_come_out_where_they_are_waited_for() -> None:
    threads = LastingThreads(1, thread_name_prefix=NAME)
    assert isinstance(threads.submit(int, "x").exception(10), ValueError)
    assert threads.submit(int, "1").result(10) == 1
    threads.shutdown()
    ends(named())


def test_what_is_submitted_after_the_end_is_still_done() -> None:
    threads = LastingThreads(1, thread_name_prefix=NAME)
    before = threads.submit(int, "1")
    threads.shutdown()
    assert before.result(10) == 1
    assert threads.submit(int, "2").result(10) == 2
    ends(named())


def test_the_threads_of_a_pool_that_is_dropped_end() -> None:
    threads = LastingThreads(2, thread_name_prefix=NAME)
    threads.submit(int, "1").result(10)
    left = named()
    assert left
    del threads
    gc.collect()
    ends(left)


def test_without_any_thread_the_caller_does_the_work_at_the_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert LastingThreads(2, thread_name_prefix=NAME).submit(threading.get_ident).result(0) == threading.get_ident()


@pytest.mark.usefixtures("refused")
def test_without_any_thread_work_is_refused_before_the_exit() -> None:
    with pytest.raises(TransferError, match="no further thread"):
        LastingThreads(2, thread_name_prefix=NAME).submit(threading.get_ident)


def test_where_no_more_threads_can_be_started_those_that_run_do_the_work_once(request: pytest.FixtureRequest) -> None:
    threads = LastingThreads(3, thread_name_prefix=NAME)
    gate, began, done = threading.Event(), threading.Event(), list[int]()

    def hold() -> None:
        began.set()
        gate.wait(10)

    held = threads.submit(hold)
    began.wait(10)
    request.getfixturevalue("refused")
    outcomes: list[Future[None]] = [threads.submit(done.append, number) for number in range(5)]
    assert done == []
    gate.set()
    for outcome in (held, *outcomes):
        outcome.result(10)
    assert done == list(range(5))
    threads.shutdown()
    ends(named())
