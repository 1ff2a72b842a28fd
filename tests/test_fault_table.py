"""The table of faults: every row has a test or a reason, and the document matches the tests."""

from __future__ import annotations

import pytest
from fault_table import DOCUMENT, Outcome, Row, Test, marked, rows, table

ROW = Row(7, 0, "it breaks", "it is mended")
TEST = Test("test_a.py", "TestIt::test_is_mended")


def test_markers_name_existing_rows() -> None:
    assert set(marked()) <= set(rows())


def test_important_rows_have_a_test_or_a_reason() -> None:
    held = marked()
    assert [row for row in rows().values() if row.priority <= 1 and row.number not in held and not row.reason] == []


def test_document_lists_the_tests_of_each_row() -> None:
    documented = [line.rsplit(" | ", 1)[0] for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    now = [line.rsplit(" | ", 1)[0] for line in table(rows(), marked(), {}).splitlines() if line.startswith("| ")]
    assert documented == now, "run nox -s faults"


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome(passed=2), "passed: 2 cases"),
        (Outcome(passed=1, skipped=3), "passed: 1 case"),
        (Outcome(passed=2, failed=1), "**failed**: 1 of 3 cases"),
        (Outcome(skipped=1), "skipped on this machine"),
    ],
)
def test_row_lists_its_tests_and_their_result(outcome: Outcome, result: str) -> None:
    line = table({7: ROW}, {7: [TEST]}, {TEST: outcome}).splitlines()[-1]
    assert line == f"| 7 | P0 | it breaks | it is mended | `test_a`: TestIt: is mended | {result} |"


def test_row_without_a_test_has_a_reason_or_stands_out() -> None:
    untested, excused = table({7: ROW, 8: Row(8, 2, "a", "b", reason="no tool")}, {}, {}).splitlines()[-2:]
    assert untested.endswith("|  | **no test** |")
    assert excused.endswith("|  | not tested: no tool |")
