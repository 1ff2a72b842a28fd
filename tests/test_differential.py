"""`wandb` and this package with the same faulty store; a page of the documentation lists the outcomes."""

from __future__ import annotations

from pathlib import Path

import pytest
from differential import Seen, see, table

PAGE = Path(__file__).parent.parent / "docs" / "pages" / "explanation" / "compared.md"


@pytest.fixture(scope="module")
def ours() -> Seen:
    return see("wbfiles_async")


@pytest.mark.fault(2, 19, 41, 68, 87, 107)
def test_each_fault_leaves_the_right_or_the_old_file(ours: Seen) -> None:
    assert [ours.files[name]["error"] for name in ("cut once", "expired once", "no ranges")] == [None] * 3
    assert set(ours.cells().values()) == {"the right file", "an error; the old file stays", "refused", "an error"}
    assert (ours.link, ours.listed) == ("UnsafePathError", "RunNotFoundError")


def test_documented_table_matches_the_outcomes(ours: Seen) -> None:
    assert table(see("wandb"), ours) in PAGE.read_text(), "python tests/differential.py prints it again"
