"""Waiting for the disk is distinguished from work."""

from __future__ import annotations

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._waiting import LONG_WAIT, Waiting


@given(st.lists(st.floats(0, 10 * LONG_WAIT)))
def test_consecutive_waits_count_as_latency(waits: list[float]) -> None:
    waiting = Waiting()
    for seconds in waits:
        waiting.record(seconds)
    last = waits[-8:]
    assert waiting.is_long == (len(last) == 8 and min(last) >= LONG_WAIT)


def test_waiting_and_working_jobs_are_distinguished() -> None:
    waiting, working = Waiting(), Waiting()
    data = bytes(1 << 20)
    for _ in range(200):  # on a busy machine many of them are inconclusive
        waiting.measure(lambda: time.sleep(3 * LONG_WAIT))
        working.measure(lambda: hashlib.md5(data).digest())
        assert not working.is_long
        if waiting.is_long:
            return
    pytest.fail("nothing of the waiting was noticed")


def test_job_that_fails_is_measured_and_fails() -> None:
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
