from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._protocol.selection import Selection
from wbfiles_async.errors import ConfigurationError

GLOBS = st.lists(st.text(alphabet="ab/*?[]!-.", min_size=1), max_size=3)


def test_without_patterns_every_file_is_wanted() -> None:
    assert Selection([], []).accepts("a/b")


def test_a_star_crosses_folders() -> None:
    assert Selection(["*.json"], []).accepts("media/table/x.json")


def test_a_file_is_wanted_when_any_inclusion_and_no_exclusion_matches() -> None:
    selection = Selection(["*.json", "m/*"], ["m/secret*"])
    assert selection.accepts("x.json")
    assert selection.accepts("m/x.png")
    assert not selection.accepts("x.png")
    assert not selection.accepts("m/secret.json")


def test_case_counts_and_the_whole_name_must_match() -> None:
    assert not Selection(["*.JSON"], []).accepts("x.json")
    assert not Selection(["x"], []).accepts("xy")
    assert not Selection(["x|y"], []).accepts("x")


@pytest.mark.parametrize(("include", "exclude"), [([""], []), (["a"], [""]), ("*.json", []), ([], "*")])
def test_patterns_that_cannot_be_meant_are_refused(include: list[str], exclude: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        Selection(include, exclude)


@given(GLOBS, GLOBS, st.text(alphabet="ab/.-"))
def test_it_chooses_as_fnmatch_does(include: list[str], exclude: list[str], name: str) -> None:
    included = not include or any(fnmatch.fnmatchcase(name, glob) for glob in include)
    excluded = any(fnmatch.fnmatchcase(name, glob) for glob in exclude)
    assert Selection(include, exclude).accepts(name) == (included and not excluded)
