"""The server's part of a pattern finds at least every match."""

from __future__ import annotations

import re

import pytest
from filesystems import fsspec
from hypothesis import example, given
from hypothesis import strategies as st

from wbfiles_async._fsspec.globs import Pushed, like_of, pushed
from wbfiles_async.testing._like import compile_like

names = st.text("ab/_%[]*?\\.", min_size=1, max_size=8)
patterns = st.lists(st.sampled_from(["a", "b", "/", "_", "%", "*", "?", "[ab]", "[!a]", "[", "]", "**/", "/**", "."]))


@given(patterns.map("".join), names)
@example("**/a", "a")
@example("a/**/b", "a/b")
@example("a_%", "a_%")
def test_server_pattern_includes_every_match(pattern: str, name: str) -> None:
    try:
        meant = re.compile(fsspec.utils.glob_translate(pattern))
    except ValueError:
        return  # fsspec refuses it
    like = like_of(pattern)
    for folders in range(name.count("/") + 1):  # a folder is found by the files below it
        if meant.match("/".join(name.split("/")[: folders + 1])):
            assert like is None or compile_like(like).fullmatch(name), (pattern, like)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("e/p/*/config.yaml", Pushed("", "config.yaml%")),
        ("e/p/run1*/media/*.png", Pushed("run1", "media/%.png%")),
        ("e/p/r?", Pushed("r", None)),
        ("e/p/r/**/*.json", Pushed("r", "%.json%")),
        ("e/p/r/*", Pushed("r", None)),
        ("e/*/r/a", None),
        ("*", None),
        ("e/p/**", None),
        ("e/**/a", None),
    ],
)
def test_patterns_pushed_to_the_server(path: str, expected: Pushed | None) -> None:
    assert pushed(path) == expected
