from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._rate_limit import BURST_SECONDS, RateLimit

RATES = st.floats(1, 1e9)
STEPS = st.lists(st.tuples(st.integers(1, 1 << 20), st.floats(0, 10)), min_size=1, max_size=50)
"""The number of bytes that arrive, and the seconds since the previous ones."""


@given(RATES, STEPS)
def test_waiting_readers_never_exceed_rate_and_burst(rate: float, steps: list[tuple[int, float]]) -> None:
    limit, now, arrived = RateLimit(rate), 1000.0, 0
    for count, pause in steps:
        now += pause + limit.draw(count, now + pause)
        arrived += count
        assert arrived <= rate * (now - 1000.0 + BURST_SECONDS) * (1 + 1e-9) + 1e-6


@given(RATES, st.lists(st.integers(1, 1 << 20), min_size=1, max_size=50))
def test_busy_readers_get_the_whole_rate(rate: float, counts: list[int]) -> None:
    limit, now = RateLimit(rate), 0.0
    for count in counts:
        now += limit.draw(count, now)
    assert now == pytest.approx(max(0.0, sum(counts) / rate - BURST_SECONDS), abs=1e-6)


def test_pause_accumulates_at_most_one_burst() -> None:
    limit = RateLimit(1000)
    limit.draw(1, 0.0)
    assert limit.draw(250, 3600.0) == 0.0
    assert limit.draw(100, 3600.0) == pytest.approx(0.1)


def test_late_reader_loses_nothing() -> None:
    limit = RateLimit(1000)
    limit.draw(250, 0.0)
    assert limit.draw(1000, 0.0) == pytest.approx(1.0)
    assert limit.draw(1000, 1.2) == pytest.approx(0.8), "woken 0.2 s too late"


@pytest.mark.parametrize("now", [0.0, 5.0, 1e9])
def test_clock_may_begin_anywhere(now: float) -> None:
    assert RateLimit(1000).draw(1250, now) == pytest.approx(1.0)


def test_concurrent_readers_share_in_order() -> None:
    limit = RateLimit(1000)
    turns = [limit.draw(500, 0.0) for _ in range(4)]
    assert turns == pytest.approx([0.25, 0.75, 1.25, 1.75])


def test_concurrent_withdrawals_are_all_counted() -> None:
    limit = RateLimit(1e6)
    start = threading.Barrier(8)

    def draw() -> None:
        start.wait()
        for _ in range(2000):
            limit.draw(125, 0.0)

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit.draw(0, 0.0) == pytest.approx(2.0 - BURST_SECONDS)
