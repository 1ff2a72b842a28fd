from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._graphql.page_size import MODEST_PAGE, SMALLEST_PAGE, PageLimit


@given(st.integers(1, 100_000))
def test_sizes_shrink_until_ordinary_retries(size: int) -> None:
    limit, sizes = PageLimit(), [size]
    while limit.retries(sizes[-1]) is not None:
        sizes.append(limit.record_timeout(sizes[-1]))
    assert sizes == sorted(set(sizes), reverse=True)
    assert len(sizes) <= 4
    assert sizes[-1] == min(size, SMALLEST_PAGE)


def test_large_page_shrinks_at_once_and_a_modest_one_is_retried() -> None:
    limit = PageLimit()
    assert [limit.retries(size) for size in (1000, MODEST_PAGE + 1, MODEST_PAGE, SMALLEST_PAGE + 1)] == [0, 0, 1, 1]


def test_one_timeout_is_forgotten_and_two_are_remembered() -> None:
    limit = PageLimit()
    assert limit.record_timeout(1000) == MODEST_PAGE
    assert limit.clip(1000) == 1000
    assert limit.record_timeout(1000) == MODEST_PAGE
    assert (limit.clip(1000), limit.clip(20)) == (MODEST_PAGE, 20)


@given(st.lists(st.integers(1, 5000)))
def test_remembered_size_only_shrinks(timed_out: list[int]) -> None:
    limit, largest = PageLimit(), 10_000
    for size in timed_out:
        limit.record_timeout(size)
        assert SMALLEST_PAGE <= limit.clip(10_000) <= largest
        largest = limit.clip(10_000)
