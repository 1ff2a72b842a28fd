from __future__ import annotations

import pytest

from wbfiles_async._graphql.pagination import ProjectPages
from wbfiles_async._graphql.projects_page import ListedProject, parse_projects_page
from wbfiles_async._models import ProjectPath
from wbfiles_async.errors import ApiError, RunNotFoundError


def answer(*nodes: object, more: bool = False, cursors: bool = True) -> dict[str, object]:
    edges = [{"node": node} | ({"cursor": f"c{number}"} if cursors else {}) for number, node in enumerate(nodes)]
    return {"models": {"edges": edges, "pageInfo": {"endCursor": "end", "hasNextPage": more}}}


def test_project_is_parsed_with_its_attributes() -> None:
    node = {"id": "UA==", "name": "p1", "entityName": "team", "createdAt": "2026-01-01T00:00:00", "isBenchmark": True}
    page = parse_projects_page(answer(node, {"name": "p2"}, more=True), entity="e")
    assert page.projects == (
        ListedProject(ProjectPath("team", "p1"), "UA==", "2026-01-01T00:00:00", True),
        ListedProject(ProjectPath("e", "p2")),
    )
    assert (page.end.cursor, page.end.has_next, page.skipped) == ("c1", True, 0)


def test_end_cursor_replaces_missing_entry_cursors() -> None:
    assert parse_projects_page(answer({"name": "p"}, more=True, cursors=False), entity="e").end.cursor == "end"


def test_invalid_projects_are_counted_and_skipped() -> None:
    page = parse_projects_page(answer({"name": "p"}, None, {"name": ""}, {"name": 3}, "x"), entity="e")
    assert [project.path.project for project in page.projects] == ["p"]
    assert page.skipped == 4


@pytest.mark.parametrize("data", [{}, {"models": None}, {"models": []}])
def test_missing_entity_is_an_error(data: dict[str, object]) -> None:
    with pytest.raises(RunNotFoundError, match="entity e not found"):
        parse_projects_page(data, entity="e")


def test_each_page_uses_the_previous_cursor() -> None:
    walk = ProjectPages("e", per_page=200)
    walk.shrink(2)
    assert walk.variables() == {"entity": "e", "cursor": None, "perPage": 2}
    walk.accept(parse_projects_page(answer({"name": "a"}, {"name": "b"}, more=True), entity="e"))
    assert walk.variables()["cursor"] == "c1"
    assert not walk.done
    (last,) = walk.accept(parse_projects_page(answer({"name": "b"}, {"name": "c"}), entity="e"))
    assert last.path.project == "c"
    assert walk.done


def test_circular_pages_are_an_error() -> None:
    walk = ProjectPages("e", per_page=1)
    walk.accept(parse_projects_page(answer({"name": "a"}, more=True), entity="e"))
    with pytest.raises(ApiError, match=r"the projects of e cannot be listed to the end: .*same cursor twice"):
        walk.accept(parse_projects_page(answer({"name": "b"}, more=True), entity="e"))
