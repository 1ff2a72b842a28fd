"""The same faulty store, asked by `wandb` and by us; a page of the documentation says what each does."""

from __future__ import annotations

from pathlib import Path

import pytest
from differential import Seen, see, table

PAGE = Path(__file__).parent.parent / "docs" / "pages" / "explanation" / "compared.md"


@pytest.fixture(scope="module")
def ours() -> Seen:
    return see("wbfiles_async")


@pytest.mark.fault(2, 19, 41, 68, 87, 107)
def test_each_fault_ends_in_the_right_file_or_in_an_error_and_the_old_one(ours: Seen) -> None:
    assert [ours.files[name]["error"] for name in ("cut once", "expired once", "no ranges")] == [None] * 3
    assert set(ours.cells().values()) == {"the right file", "an error; the old file stays", "refused", "an error"}
    assert (ours.link, ours.listed) == ("UnsafePathError", "RunNotFoundError")


def test_the_readme_says_what_each_does(ours: Seen) -> None:
    assert table(see("wandb"), ours) in PAGE.read_text(), "python tests/differential.py prints it again"
