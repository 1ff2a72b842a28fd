from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._download.collisions import Collision, Collisions
from wbfiles_async._protocol.names import collision_key

PAGE = 1000


def judged(*pages: list[str]) -> list[list[Collision | None]]:
    collisions = Collisions(b"secret")
    return [collisions.admit([tuple(name.split("/")) for name in page]) for page in pages]


def test_names_of_different_files_are_admitted() -> None:
    names = ["a", "b", "a.txt", "folder/a", "folder/b", "Folder/c", "ab/c", "é", "e"]
    assert judged(names) == [[None] * len(names)]


def test_of_names_that_come_together_each_is_refused_and_knows_the_other() -> None:
    assert judged(["A.txt", "b", "a.TXT", "e\u0301", "\u00e9"]) == [
        [
            Collision("a.TXT", nested=False),
            None,
            Collision("A.txt", nested=False),
            Collision("\u00e9", nested=False),
            Collision("e\u0301", nested=False),
        ]
    ]


def test_a_file_that_is_the_folder_of_another_collides_with_it_whichever_comes_first() -> None:
    nested = [Collision("a/b/c", nested=True), Collision("A", nested=True)]
    assert judged(["A", "a/b/c"]) == [nested]
    assert judged(["a/b/c", "A"]) == [nested[::-1]]
    assert judged(["A"], ["a/b/c"]) == [[None], [Collision("", nested=True)]]
    assert judged(["a/b/c"], ["A"], ["a/B"]) == [[None], *[[Collision("", nested=True)]] * 2]


def test_a_name_of_a_later_page_is_refused_and_the_earlier_one_stays() -> None:
    assert judged(["A", "b"], ["a", "c"], ["B", "C", "d"]) == [
        [None, None],
        [Collision("", nested=False), None],
        [Collision("", nested=False), Collision("", nested=False), None],
    ]


def test_what_collides_with_a_refused_name_is_refused_too() -> None:
    assert judged(["a", "A"], ["a"])[1] == [Collision("", nested=False)]
    assert judged(["a", "a/b/c"], ["a/b/d"])[1] == [Collision("", nested=True)]


@given(st.lists(st.lists(st.text("aAbé/", min_size=1, max_size=5), max_size=6), max_size=4))
def test_no_admitted_file_is_another_one_or_its_folder(pages: list[list[str]]) -> None:
    pages = [[name for name in page if all(name.split("/"))] for page in pages]
    collisions = judged(*pages)
    admitted = [
        collision_key(name)
        for page, verdicts in zip(pages, collisions, strict=True)
        for name, verdict in zip(page, verdicts, strict=True)
        if verdict is None
    ]
    assert len(set(admitted)) == len(admitted)
    assert not [(one, other) for one in admitted for other in admitted if other.startswith(one + "/")]


def test_a_name_takes_24_bytes_at_most() -> None:
    collisions = Collisions(b"secret")
    count = 50 * PAGE
    names: list[tuple[str, ...]] = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for page in range(50):
            names = [(f"media/{page}", f"a file with a long name, number {page * PAGE + n}.png") for n in range(PAGE)]
            assert collisions.admit(names) == [None] * PAGE
        assert tracemalloc.get_traced_memory()[0] - before < 24 * count + 300_000  # and one page of names
    finally:
        tracemalloc.stop()
