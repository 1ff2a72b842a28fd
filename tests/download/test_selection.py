from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._download.selection import Selection
from wbfiles_async.errors import ConfigurationError
from wbfiles_async.testing._like import compile_like

GLOBS = st.lists(st.text(alphabet="ab/*?[]!-.", min_size=1), max_size=3)


def test_no_patterns_select_every_file() -> None:
    assert Selection().accepts("a/b")
    assert Selection(None, []).selects_all


@pytest.mark.parametrize("include", [[], (), iter(()), map(str, [])], ids=["list", "tuple", "iterator", "generator"])
def test_empty_include_selects_nothing(include: Iterable[str]) -> None:
    selection = Selection(include)
    assert selection.is_empty
    assert not selection.selects_all
    assert not selection.accepts("a/b")


def test_generators_of_patterns_are_read_once() -> None:
    selection = Selection((glob for glob in ["*.json", "*.png"]), (glob for glob in ["x*"]))
    assert [name for name in ("a.json", "b.png", "x.png", "c.txt") if selection.accepts(name)] == ["a.json", "b.png"]


def test_star_crosses_folders() -> None:
    assert Selection(["*.json"], []).accepts("media/table/x.json")


def test_file_is_selected_by_any_include_and_no_exclude() -> None:
    selection = Selection(["*.json", "m/*"], ["m/secret*"])
    assert selection.accepts("x.json")
    assert selection.accepts("m/x.png")
    assert not selection.accepts("x.png")
    assert not selection.accepts("m/secret.json")


def test_pattern_with_trailing_slash_means_the_folder() -> None:
    selection = Selection(["media/"], ["media/secret/"])
    assert selection.accepts("media/a.png")
    assert selection.accepts("media/deeper/a.png")
    assert not selection.accepts("media")
    assert not selection.accepts("medial/a.png")
    assert not selection.accepts("media/secret/a.png")
    assert selection.pattern == "media/%"


def test_case_counts_and_the_whole_name_must_match() -> None:
    assert not Selection(["*.JSON"], []).accepts("x.json")
    assert not Selection(["x"], []).accepts("xy")
    assert not Selection(["x|y"], []).accepts("x")


@pytest.mark.parametrize(
    ("include", "exclude"),
    [([""], []), (["a"], [""]), ("*.json", []), ([], "*"), ("", []), (b"*", []), (7, []), ([None], []), ([], [b"x"])],
)
def test_nonsensical_patterns_are_refused(include: Any, exclude: Any) -> None:
    with pytest.raises(ConfigurationError):
        Selection(include, exclude)


@given(GLOBS, GLOBS, st.text(alphabet="ab/.-"))
def test_selection_agrees_with_fnmatch(include: list[str], exclude: list[str], name: str) -> None:
    def matches(glob: str) -> bool:
        return fnmatch.fnmatchcase(name, f"{glob}*" if glob.endswith("/") else glob)

    included, excluded = any(map(matches, include)), any(map(matches, exclude))
    assert Selection(include, exclude).accepts(name) == (included and not excluded)


@pytest.mark.parametrize(
    ("include", "names", "pattern"),
    [
        (None, (), None),
        ([], (), None),
        (["config.yaml"], ("config.yaml",), None),
        (["config.yaml", "a b/c"], ("config.yaml", "a b/c"), None),
        (["*.json"], (), "%.json"),
        (["media/*/img_?.png"], (), "media/%/img_%.png"),
        (["[a-c]*[!]x]d"], (), "%d"),
        (["100%_\\*"], (), "100%_%"),
        (["[open"], (), "%open"),
        (["*"], (), None),
        (["*.json", "*.yaml"], (), None),
        (["*.json", "config.yaml"], (), None),
        ([f"{n}.txt" for n in range(101)], (), None),
    ],
)
def test_server_side_selection_is_used(include: list[str] | None, names: tuple[str, ...], pattern: str | None) -> None:
    selection = Selection(include, ["*.tmp"])
    assert (selection.names, selection.pattern) == (names, pattern)


@given(st.text("ab%_\\*?[]!", max_size=6), st.text("abAB%_\\*?[]!", max_size=8))
def test_server_side_selection_includes_all_wanted_files(glob: str, name: str) -> None:
    if glob and Selection([glob], ()).accepts(name):
        selection = Selection([glob], ())
        assert not selection.names or name in selection.names
        assert selection.pattern is None or compile_like(selection.pattern).fullmatch(name)
