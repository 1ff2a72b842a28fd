from __future__ import annotations

import pytest

from wbfiles_async._fsspec import listings
from wbfiles_async._fsspec.listings import LATE, SOON, Listings, Tree
from wbfiles_async._fsspec.places import FILE, Place, place_of, when
from wbfiles_async._models import FileAttributes, RunPath

RUN = RunPath("e", "p", "r")


def tree(*names: str) -> Tree:
    return Tree(FileAttributes(id=name, name=name) for name in names)


def test_folders_follow_from_names() -> None:
    found = tree("a/b/c", "a/d", "e", "a")
    assert {folder: list(children) for folder, children in found.folders.items()} == {
        "": ["a", "e"],
        "a": ["a/b", "a/d"],
        "a/b": ["a/b/c"],
    }
    assert [file.name for file in found.below("a")] == ["a/b/c", "a/d"]
    assert [file.name for file in found.below("")] == ["a/b/c", "a/d", "e", "a"]
    assert tree().folders == {"": {}}


def test_listing_covers_folders_below_it_until_it_expires() -> None:
    now = [100.0]
    remembered = Listings(now=lambda: now[0])
    remembered.keep_tree(RUN, "a", tree("a/b/c"))
    assert remembered.tree(RUN, "a/b") is remembered.tree(RUN, "a") is not None
    assert remembered.tree(RUN) is remembered.tree(RUN, "b") is remembered.tree(RunPath("e", "p", "s"), "a") is None
    now[0] += SOON
    assert remembered.tree(RUN, "a") is None


def test_finished_run_is_cached_longer() -> None:
    now = [0.0]
    remembered = Listings(now=lambda: now[0])
    remembered.keep_state(RUN, "finished")
    remembered.keep_tree(RUN, "", tree("a"))
    now[0] += LATE - 1
    assert remembered.tree(RUN) is not None
    now[0] += 1
    assert remembered.tree(RUN) is None
    remembered.keep_state(RUN, "running")
    assert not remembered.has_ended(RUN)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_disabled_cache_stores_nothing(seconds: float) -> None:
    remembered = Listings(seconds, now=lambda: 0.0)
    remembered.keep_tree(RUN, "", tree("a"))
    remembered.keep_folder("e", [])
    assert (remembered.tree(RUN), remembered.folder("e")) == (None, None)


def test_change_invalidates_parent_listings() -> None:
    other = RunPath("e", "p", "other")
    remembered = Listings(now=lambda: 0.0)
    for run in (RUN, other):
        remembered.keep_state(run, "finished")
        remembered.keep_tree(run, "", tree("a"))
    remembered.keep_folder("e/p", [])
    remembered.forget(RUN)
    assert (remembered.tree(RUN), remembered.folder("e/p")) == (None, None)
    assert not remembered.has_ended(RUN), "somebody changes it"
    assert remembered.tree(other) is not None
    remembered.forget()
    assert remembered.tree(other) is None


def test_oldest_listing_is_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MOST_FILES", 3)
    remembered, runs = Listings(now=lambda: 0.0), [RunPath("e", "p", str(number)) for number in range(3)]
    for run in runs:
        remembered.keep_tree(run, "", tree("a", "b"))
    assert [remembered.tree(run) is not None for run in runs] == [False, False, True]


def test_paths_are_split_into_at_most_four_parts() -> None:
    assert place_of("") == Place(0)
    assert place_of("e/p") == Place(2, "e", "p")
    assert place_of("e/p/r/a//b/ c") == Place(FILE, "e", "p", "r", "a//b/ c")
    assert [place_of(path).is_possible for path in ("", "e", "e//r", "/p", "e/p/r/")] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_times_without_a_zone_are_utc() -> None:
    assert when("2026-01-01T00:00:00") == when("2026-01-01T01:00:00+01:00") == when("2026-01-01T00:00:00Z")
    assert when(None) is when("yesterday") is None
