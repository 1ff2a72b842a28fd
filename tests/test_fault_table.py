"""The table of faults: every row is held by a test or says why not, and the document says what the tests do."""

from __future__ import annotations

import pytest
from fault_table import DOCUMENT, Outcome, Row, Test, marked, rows, table

ROW = Row(7, 0, "it breaks", "it is mended")
TEST = Test("test_a.py", "TestIt::test_is_mended")


def test_a_marker_names_only_rows_that_there_are() -> None:
    assert set(marked()) <= set(rows())


def test_every_row_that_matters_is_held_by_a_test_or_says_why_not() -> None:
    held = marked()
    assert [row for row in rows().values() if row.priority <= 1 and row.number not in held and not row.reason] == []


def test_the_document_names_the_tests_that_hold_each_row() -> None:
    told = [line.rsplit(" | ", 1)[0] for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    now = [line.rsplit(" | ", 1)[0] for line in table(rows(), marked(), {}).splitlines() if line.startswith("| ")]
    assert told == now, "nox -s faults writes it again"


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome(passed=2), "held: 2 cases"),
        (Outcome(passed=1, skipped=3), "held: 1 case"),
        (Outcome(passed=2, failed=1), "**not held**: 1 of 3 cases failed"),
        (Outcome(skipped=1), "skipped on this machine"),
    ],
)
def test_a_row_of_the_table_tells_who_holds_it_and_how_that_ended(outcome: Outcome, result: str) -> None:
    line = table({7: ROW}, {7: [TEST]}, {TEST: outcome}).splitlines()[-1]
    assert line == f"| 7 | P0 | it breaks | it is mended | `test_a`: TestIt: is mended | {result} |"


def test_a_row_without_a_test_says_why_or_stands_out() -> None:
    unheld, excused = table({7: ROW, 8: Row(8, 2, "a", "b", reason="no tool")}, {}, {}).splitlines()[-2:]
    assert unheld.endswith("|  | **no test** |")
    assert excused.endswith("|  | not injected: no tool |")
