"""The number of connections for a large file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._download.parallelism import ParallelismController

MB = 1_000_000


def adapted(readers: ParallelismController, *rates: float) -> list[int]:
    counts = []
    for rate in rates:
        readers.adapt(rate * MB)
        counts.append(readers.wanted)
    return counts


def test_fast_connections_are_kept_and_checked_less_often() -> None:
    readers, looks = ParallelismController(4, most=16), []
    for _ in range(8):
        looks.append(readers.look)
        readers.adapt(1500 * MB)
    assert readers.wanted == 4
    assert looks == sorted(looks)
    assert looks[-1] == looks[-2] <= 0.25


def test_part_length_follows_the_connection_speed() -> None:
    readers, factors = ParallelismController(2, most=16), []
    for rate in (500, 500, 500, 199, 500):
        readers.adapt(rate * MB)
        factors.append(readers.part_factor)
    assert factors == [2, 4, 4, 1, 2]


def test_maximum_connections_are_checked_less_often() -> None:
    readers = ParallelismController(4, most=4)
    for _ in range(8):
        readers.adapt(30 * MB)
    assert readers.look == 0.25


def test_slow_connections_are_added_while_throughput_grows() -> None:
    rates = (30, 30, 120, 120, 480, 480, 960, 960)
    assert adapted(ParallelismController(1, most=64), *rates) == [1, 4, 4, 16, 16, 32, 32, 64]


def test_new_connections_get_one_check_before_they_count() -> None:
    assert adapted(ParallelismController(1, most=64), 30, 30, 0, 120, 0, 480) == [1, 4, 4, 16, 16, 32]


def test_no_connections_are_added_without_a_gain() -> None:
    assert adapted(ParallelismController(1, most=64), 30, 30, 32, 33, 31, 32, 30) == [1, 4, 4, 4, 4, 4, 4]


def test_single_silent_check_is_not_slow() -> None:
    assert adapted(ParallelismController(1, most=16), 600, 0, 600, 600, 0, 600) == [1] * 6


def test_silent_connections_get_others_beside_them() -> None:
    assert adapted(ParallelismController(1, most=16), 0, 0) == [1, 4]


def test_high_latency_lengthens_steps_and_checks() -> None:
    readers, counts, looks = ParallelismController(1, most=128), [], []
    for rate in (30, 30, 30, 480, 480, 1900):
        readers.adapt(rate * MB, 0.05)
        counts.append(readers.wanted)
        looks.append(readers.look)
    assert counts == [1, 16, 16, 64, 64, 128]
    assert looks == [0.015, 0.05, 0.015, 0.05, 0.015, 0.05]


@given(st.integers(1, 64), st.integers(1, 64), st.lists(st.floats(0, 1e10)), st.floats(0, 3))
def test_connections_never_exceed_the_limit_nor_decrease(
    first: int, most: int, rates: list[float], answer: float
) -> None:
    readers = ParallelismController(first, most=most)
    counts = [readers.wanted]
    for rate in rates:
        readers.adapt(rate, answer)
        counts.append(readers.wanted)
        assert 0 < readers.look <= max(0.25, answer)
    assert counts == sorted(counts)
    assert 1 <= counts[-1] <= most
