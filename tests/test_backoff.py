from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._backoff import (
    MAX_DELAY,
    MAX_RETRY_AFTER,
    delay,
    is_transient,
    parse_retry_after,
)

# 1994-11-06 08:49:37, the moment of RFC 9110's examples.
MOMENT = 784111777.0
JITTER = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize("value", ["1", " 1 ", "1.0", "01", "1."])
def test_seconds_are_read(value: str) -> None:
    assert parse_retry_after(value, MOMENT) == 1.0


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        # Invalid forms that some servers send.
        "Sun, 6 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 00:49:37 PST",
        "06 Nov 1994 08:49:37 GMT",
    ],
)
def test_all_forms_of_a_date_are_seconds_from_now(value: str) -> None:
    assert parse_retry_after(value, MOMENT - 30) == 30.0


def test_past_date_is_no_wait() -> None:
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", MOMENT + 86400) == 0.0


def test_year_of_two_digits_far_ahead_is_in_the_past() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert parse_retry_after("Sunday, 06-Nov-94 08:49:37 GMT", now) == 0.0
    assert parse_retry_after("Thursday, 01-Jan-26 00:00:09 GMT", now) == 9.0


@pytest.mark.fault(47, 103)
@pytest.mark.parametrize("value", ["1000000000", "9" * 64, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_endless_wait_is_bounded(value: str) -> None:
    assert parse_retry_after(value, MOMENT) == MAX_RETRY_AFTER


@pytest.mark.fault(47)
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "-1",
        "+1",
        "²",
        "١",
        "1e3",
        "nan",
        "inf",
        "0x10",
        "1 2",
        "soon",
        "9" * 65,
        "Sun, 31 Feb 2030 08:49:37 GMT",
        "Sun, 06 Foo 2030 08:49:37 GMT",
        "Sun, 06 Nov 2030 25:49:37 GMT",
        "Sun Nov    08:49:37 2030",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sun, 06 Nov 1994",
        "GMT " * 1000,
    ],
)
def test_nonsense_is_none(value: str | None) -> None:
    assert parse_retry_after(value, MOMENT) is None


@pytest.mark.fault(47)
@given(
    st.text() | st.from_regex(r"[A-Za-z]{3,9},? [0-9]{2}[ -](Jan|Feb|Dec)[ -][0-9]{2,5} [0-9:]{8} (GMT|[+-][0-9]{4})")
)
def test_any_header_is_a_bounded_wait_or_none(value: str) -> None:
    wait = parse_retry_after(value, MOMENT)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER


@given(st.integers(0, int(MAX_RETRY_AFTER)), st.integers(0, 2**32))
def test_date_written_by_the_standard_library_is_read(wait: int, now: int) -> None:
    header = format_datetime(datetime.fromtimestamp(now + wait, UTC), usegmt=True)
    assert parse_retry_after(header, float(now)) == wait


def test_waits_start_short_and_double_up_to_the_maximum() -> None:
    waits = [delay(failures, retry_after=None, jitter=0.999999) for failures in range(1, 40)]
    assert waits[0] < 0.1001
    assert waits[1] == pytest.approx(2 * waits[0])
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(MAX_DELAY, rel=1e-3)


@given(st.integers(1, 10**9), JITTER)
def test_half_of_a_wait_is_random(failures: int, jitter: float) -> None:
    shortest = delay(failures, retry_after=None, jitter=0)
    assert 0 < shortest <= delay(failures, retry_after=None, jitter=jitter) <= 2 * shortest <= MAX_DELAY


@given(st.integers(1, 100), st.floats(0, 1e12), JITTER)
def test_wait_is_at_least_the_requested_time_within_bounds(failures: int, retry_after: float, jitter: float) -> None:
    wait = delay(failures, retry_after=retry_after, jitter=jitter)
    assert min(retry_after, MAX_RETRY_AFTER) <= wait <= MAX_RETRY_AFTER
    assert wait >= delay(failures, retry_after=None, jitter=jitter)


@pytest.mark.fault(48)
def test_clients_with_the_same_wait_return_at_different_times() -> None:
    assert delay(1, retry_after=60, jitter=0.9) > delay(1, retry_after=60, jitter=0.1)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529, 599])
def test_passing_fault_is_transient(status: int) -> None:
    assert is_transient(status)


@pytest.mark.parametrize("status", [200, 206, 304, 400, 401, 403, 404, 409, 410, 412, 416, 422, 501, 505, 600])
def test_lasting_status_is_not_transient(status: int) -> None:
    assert not is_transient(status)
