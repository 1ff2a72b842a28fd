"""A cluster's budget is never exceeded and never idle, however workers come and go."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._scale.budget import Budget, Grant


@given(
    st.one_of(st.none(), st.integers(1, 600)),
    st.one_of(st.none(), st.integers(1, 10**10)),
    st.one_of(st.none(), st.floats(0.1, 1e4)),
    st.integers(0, 2**32),
)
def test_grants_never_exceed_the_budget(
    connections: int | None, rate: int | None, requests: float | None, seed: int
) -> None:
    chance = random.Random(seed)
    budget, granted = Budget(connections, rate, requests), list[Grant]()
    for _ in range(200):
        workers = chance.choice((1, 2, 3, 7, 40, 200))
        if granted and chance.random() < 0.5:
            budget.release(granted.pop(chance.randrange(len(granted))))
        free = workers - len(granted)
        grant = budget.grant(free) if free > 0 else None
        if grant is not None:
            granted.append(grant)
            assert (grant.connections is None) == (connections is None)
            assert grant.connections is None or grant.connections >= 1
            assert grant.limit_rate is None or grant.limit_rate >= 1
            assert grant.api_requests is None or grant.api_requests > 0
        if connections is not None:
            assert sum(each.connections or 0 for each in granted) <= connections
        if rate is not None:
            assert sum(each.limit_rate or 0 for each in granted) <= rate
        if requests is not None:
            assert sum(each.api_requests or 0 for each in granted) <= requests * (1 + 1e-9)
        assert granted or grant is not None or free <= 0  # with nothing in progress there is always something to grant


def test_workers_share_the_whole_budget_equally() -> None:
    budget = Budget(10, 1000, 3.0)
    grants = [budget.grant(free) for free in (3, 2, 1)]
    assert grants == [Grant(3, 333, 1.0), Grant(3, 333, 1.0), Grant(4, 334, 1.0)]
    assert budget.grant(1) is None


def test_one_connection_per_active_worker_at_least() -> None:
    budget = Budget(connections=2)
    assert [budget.grant(5 - given) for given in range(3)] == [Grant(1), Grant(1), None]


def test_thousands_of_workers_may_share_little() -> None:
    budget = Budget(connections=3, limit_rate=10**9, api_requests=0.5)
    grants = [budget.grant(100_000) for _ in range(4)]
    assert [grant and grant.connections for grant in grants] == [1, 1, 1, None]


def test_late_workers_wait_for_a_release() -> None:
    budget = Budget(connections=8)
    first, second = budget.grant(2), budget.grant(1)
    assert (first, second) == (Grant(4), Grant(4))
    assert budget.grant(2) is None
    assert first is not None
    budget.release(first)
    assert [budget.grant(3), budget.grant(2), budget.grant(1)] == [Grant(1), Grant(1), Grant(2)]


def test_without_limits_nothing_is_limited() -> None:
    assert Budget().grant(1000) == Grant()
