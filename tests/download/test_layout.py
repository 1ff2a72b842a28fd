from __future__ import annotations

import pytest

from wbfiles_async._download.layout import Layout
from wbfiles_async._models import RunPath
from wbfiles_async.errors import ConfigurationError, UnsafePathError

RUN = RunPath("team", "vision", "1a2b")


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("{run}", ("1a2b",)),
        ("{entity}/{project}/{run}", ("team", "vision", "1a2b")),
        ("all/{project}-{run}.d", ("all", "vision-1a2b.d")),
        ("{run}/{run}", ("1a2b", "1a2b")),
        ("same", ("same",)),
        ("{project}: {run}?", ("vision: 1a2b?",)),
        ("", ()),
    ],
)
def test_fields_are_replaced_by_the_runs_values(text: str, folder: tuple[str, ...]) -> None:
    assert Layout(text).folder(RUN) == folder


@pytest.mark.parametrize(
    "text",
    ["{name}", "{run.id}", "{run!r}", "{run:>9}", "{}", "{0}", "{run", "run}", "{{run}}", "{RUN}", "{run}/{tag}"],
)
def test_other_fields_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown field.*'{project}/{run}'"):
        Layout(text)


@pytest.mark.parametrize(
    "text", ["/", "/{run}", "../{run}", "{run}/", "a//{run}", "x\n", "\u202e{run}", ".wbfiles-state/{run}"]
)
def test_unsafe_layout_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no folder below the root"):
        Layout(text)


@pytest.mark.parametrize("run_id", ["..", ".", "", "a\x00", ".wbfiles-state", "a\x1b", "x" * 300])
def test_unsafe_run_id_is_refused(run_id: str) -> None:
    with pytest.raises(UnsafePathError):
        Layout("{run}").folder(RunPath("e", "p", run_id))


@pytest.mark.parametrize("run", [RunPath("e", "p", "a/b"), RunPath("e", "a/b", "r"), RunPath("a/b", "p", "r")])
def test_slash_in_a_value_creates_no_folder(run: RunPath) -> None:
    with pytest.raises(UnsafePathError, match="contains a '/'"):
        Layout("{entity}/{project}/{run}").folder(run)
