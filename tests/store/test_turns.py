"""A request that waits too long for a slot gets that of a batch."""

from __future__ import annotations

import attrs

from wbfiles_async._clock import Clock
from wbfiles_async._store.turns import PATIENCE, Turns


@attrs.define
class Time:
    now: float = 0.0

    def turns(self) -> Turns:
        return Turns(Clock(monotonic=lambda: self.now))


def test_nobody_gives_way_where_nobody_waits() -> None:
    assert not Time().turns().give_way()


def test_one_gives_way_to_one_that_has_waited_long_enough() -> None:
    time = Time()
    turns = time.turns()
    with turns.waiting():
        time.now = PATIENCE / 2
        assert not turns.give_way()
        time.now = PATIENCE
        assert turns.give_way()
        assert not turns.give_way()
    assert not turns.give_way()


def test_those_who_waited_longest_come_first_and_one_after_the_other() -> None:
    time = Time()
    turns = time.turns()
    with turns.waiting():
        time.now = 1.5 * PATIENCE
        with turns.waiting():
            assert turns.give_way()
            time.now = 3 * PATIENCE
            assert not turns.give_way()
    assert not turns.give_way()
