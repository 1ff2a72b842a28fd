from __future__ import annotations

import pytest

from wbfiles_async._graphql.runs_page import ListedRun, parse_run_count, parse_runs_page
from wbfiles_async._models import ProjectPath, RunPath
from wbfiles_async.errors import RunNotFoundError

PROJECT = ProjectPath("e", "p")


def answer(*nodes: object, **others: object) -> dict[str, object]:
    edges = [{"node": node, "cursor": f"c{number}"} for number, node in enumerate(nodes)]
    runs = {"edges": edges, "pageInfo": {"endCursor": "end", "hasNextPage": True}}
    return {"project": {"runCount": 7, "runs": runs} | others}


def test_run_is_parsed_with_its_attributes() -> None:
    node = {"name": "r1", "displayName": "First", "state": "finished", "createdAt": "2026-01-01T00:00:00"}
    page = parse_runs_page(answer(node), project=PROJECT)
    assert page.runs == (ListedRun(RunPath("e", "p", "r1"), "First", "finished", "2026-01-01T00:00:00", None),)
    assert (page.end.cursor, page.end.has_next, page.run_count, page.skipped) == ("c0", True, 7, 0)


def test_first_files_are_parsed_if_requested() -> None:
    edges = [{"node": {"id": "1", "name": "a.txt", "sizeBytes": "3"}, "cursor": "x"}, {"node": {"name": "b"}}, None]
    files = {"edges": edges, "pageInfo": {"endCursor": "y", "hasNextPage": True}}
    run, empty = parse_runs_page(
        answer({"name": "r1", "files": files}, {"name": "r2", "files": None}), project=PROJECT
    ).runs
    assert run.files is not None
    assert [(file.name, file.size_bytes) for file in run.files.files] == [("a.txt", 3), ("b", None)]
    assert (run.files.end.cursor, run.files.end.has_next, run.files.skipped) == ("y", True, 1)
    assert empty.files is not None
    assert (empty.files.files, empty.files.end.has_next) == ((), False)


@pytest.mark.parametrize("runs", [None, [], {}, {"edges": None}, {"edges": "x", "pageInfo": 3}])
def test_missing_listing_is_an_empty_page(runs: object) -> None:
    page = parse_runs_page(answer(runs=runs, runCount="none"), project=PROJECT)
    assert (page.runs, page.end.cursor, page.end.has_next, page.run_count) == ((), None, False, None)


def test_invalid_runs_are_counted_and_skipped() -> None:
    page = parse_runs_page(answer({"name": "r1"}, None, {"name": ""}, {"name": 3}, "x"), project=PROJECT)
    assert [run.path.run_id for run in page.runs] == ["r1"]
    assert page.skipped == 4


@pytest.mark.parametrize("data", [{}, {"project": None}, {"project": []}])
def test_missing_project_is_an_error_instead_of_an_empty_page(data: dict[str, object]) -> None:
    for parse in (parse_runs_page, parse_run_count):
        with pytest.raises(RunNotFoundError, match="project e/p not found") as caught:
            parse(data, project=PROJECT)
        assert caught.value.run == "e/p"


@pytest.mark.parametrize(("count", "read"), [(7, 7), ("7", 7), (None, None), (-1, None)])
def test_number_of_runs_is_parsed(count: object, read: int | None) -> None:
    assert parse_run_count({"project": {"runCount": count}}, project=PROJECT) == read
