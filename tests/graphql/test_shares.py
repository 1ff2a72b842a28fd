"""Shards of names: each name is in exactly one, and never moves when others are added."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._graphql.shares import Share, parse_share


@given(name=st.text(), count=st.integers(1, 200))
def test_each_name_belongs_to_exactly_one_share(name: str, count: int) -> None:
    assert sum(Share(number, count).holds(name) for number in range(count)) == 1


def test_shares_are_about_equal_and_the_same_everywhere() -> None:
    sizes = [sum(Share(number, 8).holds(f"run{run}") for run in range(8000)) for number in range(8)]
    assert all(850 < size < 1150 for size in sizes)
    assert [run for run in range(12) if Share(1, 3).holds(f"run{run}")] == MINE
    share = Share(1, 3)
    assert pickle.loads(pickle.dumps(share)) == share


MINE = [4, 8, 9, 10]
"""Fixed values, since other machines and later versions must agree."""


@pytest.mark.parametrize(("text", "share"), [("0/1", Share(0, 1)), (" 63/64 ", Share(63, 64)), ("007/8", Share(7, 8))])
def test_shard_is_parsed(text: str, share: Share) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "1", "1/", "/2", "2/2", "3/2", "0/0", "-1/2", "1/2/3", "a/b", "1.0/2", "١/٢"])
def test_invalid_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a shard I/N"):
        parse_share(text)
