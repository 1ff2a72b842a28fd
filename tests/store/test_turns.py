"""A request that waits too long for a slot gets a batch's slot."""

from __future__ import annotations

import attrs

from wbfiles_async._clock import Clock
from wbfiles_async._store.turns import WAIT_SECONDS, Turns


@attrs.define
class Time:
    now: float = 0.0

    def turns(self) -> Turns:
        return Turns(Clock(monotonic=lambda: self.now))


def test_no_waiter_means_no_yield() -> None:
    assert not Time().turns().give_way()


def test_long_waiter_gets_the_slot() -> None:
    time = Time()
    turns = time.turns()
    with turns.waiting():
        time.now = WAIT_SECONDS / 2
        assert not turns.give_way()
        time.now = WAIT_SECONDS
        assert turns.give_way()
        assert not turns.give_way()
    assert not turns.give_way()


def test_longest_waiters_come_first() -> None:
    time = Time()
    turns = time.turns()
    with turns.waiting():
        time.now = 1.5 * WAIT_SECONDS
        with turns.waiting():
            assert turns.give_way()
            time.now = 3 * WAIT_SECONDS
            assert not turns.give_way()
    assert not turns.give_way()
