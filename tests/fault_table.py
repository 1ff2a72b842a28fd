"""The table of faults: the tests of each row and their results. `python tests/fault_table.py` writes it.

A test names the rows of `fault_rows.toml` that it covers with a marker: `@pytest.mark.fault(1, 6)`.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import pytest

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "faults.md"

_HEAD = """\
# Faults

What can go wrong while files are transferred, what must happen then, and the tests that cause each fault and check the
result. Written by `nox -s faults`, which runs these tests; the rows are in `tests/fault_rows.toml`. P0 is the most
important.

"""


@attrs.frozen
class Row:
    """One fault.

    Attributes:
        number: Its number, which never changes.
        priority: 0 is the most important.
        fault: What goes wrong.
        promise: What must happen then.
        reason: Why a test cannot cause it; empty if one can.
    """

    number: int
    priority: int
    fault: str
    promise: str
    reason: str = ""


@attrs.frozen(order=True)
class Test:
    """A test function: its file below `tests`, and its name, after the name of its class if it has one."""

    file: str
    name: str

    __test__ = False


@attrs.define
class Outcome:
    """The results of one test function's cases."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


def rows() -> dict[int, Row]:
    """Read the rows."""
    content = tomllib.loads((TESTS / "fault_rows.toml").read_text())
    return {int(number): Row(int(number), **fields) for number, fields in content["rows"].items()}


def marked() -> dict[int, list[Test]]:
    """Find the tests marked with each row, from the source alone."""
    found: defaultdict[int, list[Test]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        for name, numbers in _marked_in(ast.parse(file.read_text()).body):
            for number in numbers:
                found[number].append(Test(file.relative_to(TESTS).as_posix(), name))
    return found


def _marked_in(
    body: Iterable[ast.stmt], outer: str = "", inherited: frozenset[int] = frozenset()
) -> Iterator[tuple[str, frozenset[int]]]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            numbers = inherited.union(*(_numbers_of(decorator) for decorator in node.decorator_list))
            if isinstance(node, ast.ClassDef):
                yield from _marked_in(node.body, f"{node.name}::", numbers)
            elif node.name.startswith("test_") and numbers:
                yield outer + node.name, numbers


def _numbers_of(decorator: ast.expr) -> frozenset[int]:
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
        return frozenset(ast.literal_eval(argument) for argument in decorator.args)
    return frozenset()


class Recorder:
    """A pytest plugin that runs only the marked tests and records their results."""

    def __init__(self) -> None:
        self.outcomes: defaultdict[Test, Outcome] = defaultdict(Outcome)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect the others."""
        others = [item for item in items if item.get_closest_marker("fault") is None]
        items[:] = [item for item in items if item not in set(others)]
        config.hook.pytest_deselected(items=others)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the result of a case."""
        if report.when != "call" and report.passed:
            return
        file, _, name = report.nodeid.removeprefix("tests/").partition("::")
        outcome = self.outcomes[Test(file, name.partition("[")[0])]
        if report.failed:
            outcome.failed += 1
        elif report.skipped:
            outcome.skipped += 1
        else:
            outcome.passed += 1


def table(rows: Mapping[int, Row], marked: Mapping[int, Sequence[Test]], outcomes: Mapping[Test, Outcome]) -> str:
    """Return the table, in Markdown."""
    lines = ["| # | P | fault | required behaviour | tests | result |", "|--:|--|---|---|---|---|"]
    for row in rows.values():
        tests = sorted(marked.get(row.number, ()))
        cells = [
            str(row.number),
            f"P{row.priority}",
            row.fault,
            row.promise,
            "<br>".join(f"`{test.file.removesuffix('.py')}`: {_words(test.name)}" for test in tests),
            _result(row, [outcomes[test] for test in tests if test in outcomes]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _words(name: str) -> str:
    return name.replace("::test_", ": ").removeprefix("test_").replace("_", " ")


def _result(row: Row, outcomes: Sequence[Outcome]) -> str:
    failed, passed = sum(o.failed for o in outcomes), sum(o.passed for o in outcomes)
    if failed:
        return f"**failed**: {failed} of {failed + passed} cases"
    if passed:
        return f"passed: {passed} {'case' if passed == 1 else 'cases'}"
    if any(o.skipped for o in outcomes):
        return "skipped on this machine"
    return f"not tested: {row.reason}" if row.reason else "**no test**"


def main() -> int:
    """Run the marked tests and write the document; returns pytest's exit code."""
    parser = argparse.ArgumentParser(description="Run the tests marked with rows of faults, and write their table.")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="where to write it; default: %(default)s")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    arguments = parser.parse_args()
    recorder = Recorder()
    code = pytest.main(["-q", "-p", "no:cacheprovider", *arguments.pytest, str(TESTS)], plugins=[recorder])
    text = _HEAD + table(rows(), marked(), recorder.outcomes)
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(text)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
