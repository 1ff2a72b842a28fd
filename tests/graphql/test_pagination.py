from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._graphql.files_page import FilesPage
from wbfiles_async._graphql.page_end import PageEnd
from wbfiles_async._graphql.pagination import Pages, RunPages
from wbfiles_async._graphql.runs_page import ListedRun, RunsPage
from wbfiles_async._models import FileAttributes, ProjectPath, RunPath
from wbfiles_async.errors import ApiError

RUN = RunPath("e", "p", "r")


def file(number: int) -> FileAttributes:
    return FileAttributes(id=f"id{number}", name=f"{number}.txt")


def page(*numbers: int, cursor: str | None = None, count: int | None = None, more: bool = True) -> FilesPage:
    return FilesPage(
        files=tuple(map(file, numbers)),
        end=PageEnd(cursor, has_next=more),
        file_count=count,
        project_id=None,
        skipped=0,
    )


def test_each_page_uses_the_previous_cursor() -> None:
    pages = Pages(RUN, per_page=2, names=("a", "b"))
    assert pages.variables() == {
        "project": "p",
        "entity": "e",
        "name": "r",
        "fileCursor": None,
        "fileLimit": 2,
        "fileNames": ["a", "b"],
        "pattern": None,
    }
    assert pages.accept(page(1, 2, cursor="c")) == (file(1), file(2))
    assert not pages.done
    assert pages.variables()["fileCursor"] == "c"
    assert pages.accept(page(3, cursor="d", more=False)) == (file(3),)
    assert pages.done


def test_page_size_can_change_while_paging() -> None:
    pages = Pages(RUN, per_page=5000)
    pages.per_page = 1000
    assert pages.variables()["fileLimit"] == 1000


@pytest.mark.fault(70)
def test_duplicate_file_is_yielded_once() -> None:
    pages = Pages(RUN, per_page=2)
    assert pages.accept(page(1, 2, 2, cursor="a")) == (file(1), file(2))
    assert pages.accept(page(2, 3, more=False)) == (file(3),)


def test_files_without_an_id_are_distinguished_by_name() -> None:
    nameless = [FileAttributes(id="", name=name) for name in ("a", "b", "a")]
    listing = FilesPage(tuple(nameless), PageEnd(None, has_next=False), None, None, 0)
    assert [f.name for f in Pages(RUN, per_page=9).accept(listing)] == ["a", "b"]


def test_files_of_pages_that_are_not_read_yet_are_not_missing() -> None:
    pages = Pages(RUN, per_page=2)
    first, last = page(1, 2, cursor="a", count=5), page(3, more=False, count=5)
    pages.advance(first.end)
    pages.advance(last.end)
    pages.take(first)
    assert pages.done
    assert pages.missing == 0
    pages.take(last)
    assert pages.missing == 2


@pytest.mark.fault(69)
@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b", "a"]])
def test_repeated_cursor_is_an_error(cursors: list[str]) -> None:
    pages = Pages(RUN, per_page=1)
    for number, cursor in enumerate(cursors[:-1]):
        pages.accept(page(number, cursor=cursor))
    with pytest.raises(ApiError, match="same cursor twice"):
        pages.accept(page(9, cursor=cursors[-1]))


@pytest.mark.fault(69)
def test_more_without_a_cursor_is_an_error() -> None:
    with pytest.raises(ApiError, match="no cursor"):
        Pages(RUN, per_page=1).accept(page(1))


def accepted_until_error(count: int | None, *, fresh: bool) -> int:
    pages = Pages(RUN, per_page=1)
    for number in range(10_000):
        try:
            pages.accept(page(number if fresh else 0, cursor=str(number), count=count))
        except ApiError:
            return number
    raise AssertionError("the walk never ended")


@pytest.mark.fault(69)
def test_pages_far_beyond_the_count_end_in_an_error() -> None:
    assert 500 <= accepted_until_error(500, fresh=True) <= 2000


@pytest.mark.parametrize("count", [None, 10**9])
def test_pages_without_new_files_end_in_an_error(count: int | None) -> None:
    assert accepted_until_error(count, fresh=False) <= 200


def test_low_count_does_not_stop_paging() -> None:
    pages = Pages(RUN, per_page=50)
    got = [pages.accept(page(number, cursor=str(number), count=0)) for number in range(500)]
    assert sum(map(len, got)) == 500


@pytest.mark.fault(70)
def test_memory_of_ids_is_bounded() -> None:
    pages = Pages(RUN, per_page=1000)
    for start in range(0, 50_000, 1000):
        pages.accept(page(*range(start, start + 1000), cursor=str(start)))
    assert len(pages._recent) == 10_000


@given(st.integers(0, 60), st.integers(1, 9), st.integers(0, 3))
def test_overlapping_pages_are_followed_to_the_end(count: int, per_page: int, overlap: int) -> None:
    pages, got, start = Pages(RUN, per_page=per_page), list[FileAttributes](), 0
    while not pages.done:
        stop = min(start + per_page, count)
        numbers = range(max(0, start - overlap), stop)
        got += pages.accept(page(*numbers, cursor=str(stop), count=count, more=stop < count))
        start = stop
    assert got == [file(number) for number in range(count)]


PROJECT = ProjectPath("e", "p")


def run(number: int) -> ListedRun:
    return ListedRun(RunPath("e", "p", f"r{number}"))


def runs_page(*numbers: int, cursor: str | None = None, more: bool = True) -> RunsPage:
    return RunsPage(tuple(map(run, numbers)), end=PageEnd(cursor, has_next=more), run_count=None, skipped=0)


def test_runs_are_paged_like_files() -> None:
    pages = RunPages(PROJECT, "{}", "+created_at", per_page=2)
    expected = {"project": "p", "entity": "e", "filters": "{}", "order": "+created_at", "cursor": None, "perPage": 2}
    assert pages.variables() == expected
    assert pages.accept(runs_page(1, 2, cursor="c")) == (run(1), run(2))
    assert pages.variables() == expected | {"cursor": "c"}
    assert pages.accept(runs_page(2, 3, more=False)) == (run(3),)
    assert pages.done


def test_files_are_requested_with_the_runs() -> None:
    pages = RunPages(PROJECT, "{}", "-name", per_page=50, files_each=20, pattern="%.json")
    assert pages.variables()["fileLimit"] == 20
    assert (pages.variables()["fileNames"], pages.variables()["pattern"]) == ([], "%.json")


def test_circular_pages_of_runs_name_the_project() -> None:
    pages = RunPages(PROJECT, "{}", "+created_at", per_page=1)
    pages.accept(runs_page(1, cursor="a"))
    with pytest.raises(ApiError, match=r"the runs of e/p cannot be listed to the end: .* same cursor twice"):
        pages.accept(runs_page(2, cursor="a"))
    with pytest.raises(ApiError, match="returns no cursor"):
        RunPages(PROJECT, "{}", "+created_at", per_page=1).accept(runs_page(1))
