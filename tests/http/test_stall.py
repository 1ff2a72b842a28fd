"""Detection of stalled connections."""

from __future__ import annotations

from wbfiles_async._http.stall import StallDetector


def test_sufficient_bytes_in_a_window_are_no_stall() -> None:
    speed = StallDetector(seconds=30, least=1024)
    assert [speed.stall(10, 400) for _ in range(30)] == [None] * 30


def test_stall_reports_its_numbers() -> None:
    speed = StallDetector(seconds=30, least=1024)
    assert speed.stall(29, 1) is None
    assert speed.stall(2, 1) == "only 2 bytes in 31 s"


def test_each_window_counts_for_itself() -> None:
    speed = StallDetector(seconds=10, least=100)
    assert speed.stall(10, 1_000_000) is None
    assert speed.stall(9, 99) is None
    assert speed.stall(1, 0) == "only 99 bytes in 10 s"


def test_bytes_without_waiting_are_never_a_stall() -> None:
    speed = StallDetector(seconds=10, least=100)
    assert {speed.stall(0, 1) for _ in range(1000)} == {None}
