from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._disk.names import collision_key
from wbfiles_async._download.collisions import Collision, Collisions

PAGE = 1000


def collisions_of(
    *pages: list[str], folds: Callable[[tuple[str, ...]], bool] = lambda _: True
) -> list[list[Collision | None]]:
    collisions = Collisions(b"secret", folds)
    return [collisions.admit([tuple(name.split("/")) for name in page]) for page in pages]


def test_names_of_different_files_are_admitted() -> None:
    names = ["a", "b", "a.txt", "folder/a", "folder/b", "Folder/c", "ab/c", "é", "e"]
    assert collisions_of(names) == [[None] * len(names)]


def test_colliding_names_of_one_page_are_both_refused() -> None:
    assert collisions_of(["A.txt", "b", "a.TXT", "e\u0301", "\u00e9"]) == [
        [
            Collision("a.TXT", nested=False),
            None,
            Collision("A.txt", nested=False),
            Collision("\u00e9", nested=False),
            Collision("e\u0301", nested=False),
        ]
    ]


def test_file_collides_with_a_folder_of_its_name_in_either_order() -> None:
    nested = [Collision("a/b/c", nested=True), Collision("A", nested=True)]
    assert collisions_of(["A", "a/b/c"]) == [nested]
    assert collisions_of(["a/b/c", "A"]) == [nested[::-1]]
    assert collisions_of(["A"], ["a/b/c"]) == [[None], [Collision("", nested=True)]]
    assert collisions_of(["a/b/c"], ["A"], ["a/B"]) == [[None], *[[Collision("", nested=True)]] * 2]


def test_later_colliding_name_is_refused() -> None:
    assert collisions_of(["A", "b"], ["a", "c"], ["B", "C", "d"]) == [
        [None, None],
        [Collision("", nested=False), None],
        [Collision("", nested=False), Collision("", nested=False), None],
    ]


def test_collision_with_a_refused_name_is_refused() -> None:
    assert collisions_of(["a", "A"], ["a"])[1] == [Collision("", nested=False, repeated=True)]
    assert collisions_of(["a", "a/b/c"], ["a/b/d"])[1] == [Collision("", nested=True)]


@pytest.mark.fault(97, 116)
def test_case_variants_are_accepted_on_a_case_sensitive_disk() -> None:
    names = ["A", "a", "b", "B/c", "caf\u00e9", "cafe\u0301", "x.", "x"]
    assert collisions_of(names, folds=lambda _: False) == [[None] * len(names)]
    assert collisions_of(*([name] for name in names), folds=lambda _: False) == [[None]] * len(names)


@pytest.mark.fault(97)
def test_equal_names_and_file_folder_pairs_always_collide() -> None:
    assert collisions_of(["A", "a", "A", "B", "B/c"], folds=lambda _: False) == [
        [
            Collision("A", nested=False, repeated=True),
            None,
            Collision("A", nested=False, repeated=True),
            Collision("B/c", nested=True),
            Collision("B", nested=True),
        ]
    ]
    pages = ["a"], ["A"], ["A"], ["a/b"], ["A/B"], ["d/e"], ["D"], ["d"]
    same, nested = Collision("", nested=False, repeated=True), Collision("", nested=True)
    assert collisions_of(*map(list, pages), folds=lambda _: False) == [
        [each] for each in (None, None, same, nested, nested, None, None, nested)
    ]


def test_disk_is_probed_only_for_possible_collisions() -> None:
    paths: list[tuple[str, ...]] = []

    def folds(path: tuple[str, ...]) -> bool:
        paths.append(path)
        return path[0] == "folds"

    pages = [["tells/A", "folds/A", "other/B"], ["tells/a", "folds/a", "b"]]
    assert collisions_of(*pages, folds=folds) == [[None] * 3, [None, Collision("", nested=False), None]]
    assert set(paths) == {("tells", "a"), ("folds", "a")}
    paths.clear()
    assert collisions_of([*pages[0], *pages[1]], folds=folds) == [
        [None, Collision("folds/a", nested=False), None, None, Collision("folds/A", nested=False), None]
    ]
    assert {path[0] for path in paths} == {"tells", "folds"}


@pytest.mark.fault(117)
def test_work_per_folder_does_not_grow_with_depth() -> None:
    def searched(depth: int, files: int) -> float:
        count = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal count
            count += event == "line"
            return trace if frame.f_code.co_name == "_find" else None

        collisions = Collisions(b"secret")
        paths = [(f"{n}", *["a"] * depth, "file") for n in range(files)]
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            collisions.admit(paths)
        finally:
            sys.settrace(before)
        return count / depth / files

    assert searched(1000, files=60) < 2 * searched(10, files=60)


@given(st.lists(st.lists(st.text("aAbé/", min_size=1, max_size=5), max_size=6), max_size=4))
def test_accepted_names_never_collide(pages: list[list[str]]) -> None:
    pages = [[name for name in page if all(name.split("/"))] for page in pages]
    collisions = collisions_of(*pages)
    admitted = [
        collision_key(name)
        for page, found in zip(pages, collisions, strict=True)
        for name, collision in zip(page, found, strict=True)
        if collision is None
    ]
    assert len(set(admitted)) == len(admitted)
    assert not [(one, other) for one in admitted for other in admitted if other.startswith(one + "/")]


@pytest.mark.parametrize(("letter", "most"), [("a", 24), ("A", 48)])
def test_bytes_for_a_name_are_bounded(letter: str, most: int) -> None:
    collisions = Collisions(b"secret")
    count = 20 * PAGE
    names: list[tuple[str, ...]] = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for page in range(20):
            names = [
                (f"media/{page}", f"{letter} file with a long name, number {page * PAGE + n}.png") for n in range(PAGE)
            ]
            assert collisions.admit(names) == [None] * PAGE
        assert tracemalloc.get_traced_memory()[0] - before < most * count + 300_000  # and one page of names
    finally:
        tracemalloc.stop()
