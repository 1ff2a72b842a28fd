"""The selection of test cases per transport."""

from __future__ import annotations

from itertools import product

from transports import OURS, TRANSPORTS, Case, covering

COMMON = [transport for transport in TRANSPORTS if transport.is_common]
CASES = [
    Case(transport, {"shape": shape, "fault": fault}) for transport, shape, fault in product(COMMON, range(3), range(5))
]


def shown(kept: set[int], *, kind: str) -> set[tuple[str, object]]:
    return {each for n in kept if CASES[n].transport.kind == kind for each in CASES[n].values.items()}


EVERY_VALUE = {("shape", n) for n in range(3)} | {("fault", n) for n in range(5)}


def test_own_transport_runs_every_case_and_others_at_least_one() -> None:
    kept = covering(CASES)
    assert {n for n, case in enumerate(CASES) if case.transport is OURS} <= kept
    assert {CASES[n].transport for n in kept} == set(COMMON)


def test_each_kind_is_shown_every_value() -> None:
    kept = covering(CASES)
    assert all(shown(kept, kind=transport.kind) == EVERY_VALUE for transport in COMMON)
    assert len(kept) == 15 + 5 * 5


def test_test_without_values_runs_on_all_transports() -> None:
    assert covering([Case(transport, {}) for transport in COMMON]) == set(range(len(COMMON)))


def test_without_ours_each_kind_is_shown_every_value() -> None:
    cases = [case for case in CASES if case.transport.kind == "httpx"]
    assert len(covering(cases)) == 5
