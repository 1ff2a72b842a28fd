"""Parses one page of an entity's projects. Performs no I/O, and knows no other pages."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from wbfiles_async._graphql.json_values import mapping, text
from wbfiles_async._graphql.page_end import PageEnd, edges_of, page_end
from wbfiles_async._models import ProjectPath
from wbfiles_async.errors import RunNotFoundError

__all__ = ["ListedProject", "ProjectsPage", "parse_projects_page"]


@attrs.frozen
class ListedProject:
    """A project as the listing of its entity describes it.

    Attributes:
        path: Its path.
        id: The server's own id of it.
        created_at: When it was made, as the server writes it.
        is_benchmark: Whether it is a benchmark.
    """

    path: ProjectPath
    id: str = ""
    created_at: str | None = None
    is_benchmark: bool = False


@attrs.frozen
class ProjectsPage:
    """One page of an entity's projects.

    Attributes:
        projects: The projects, in the server's order.
        end: Its end.
        skipped: Entries that could not be read as a project.
    """

    projects: tuple[ListedProject, ...]
    end: PageEnd
    skipped: int


def parse_projects_page(data: Mapping[str, object], *, entity: str) -> ProjectsPage:
    """Read the data of an answer to `PROJECTS`.

    Raises:
        RunNotFoundError: The server knows no such entity, or does not show it.
    """
    models = mapping(data.get("models"))
    if not models:
        raise RunNotFoundError(
            f"entity {entity} not found: it does not exist, or these credentials may not see it.", run=entity
        )
    read = [_listed_project(mapping(edge.get("node")), entity) for edge in edges_of(models)]
    return ProjectsPage(
        projects=tuple(project for project in read if project is not None),
        end=page_end(models),
        skipped=sum(project is None for project in read),
    )


def _listed_project(node: Mapping[str, object], entity: str) -> ListedProject | None:
    name = text(node.get("name"))
    if name is None:
        return None
    return ListedProject(
        path=ProjectPath(text(node.get("entityName")) or entity, name),
        id=text(node.get("id")) or "",
        created_at=text(node.get("createdAt")),
        is_benchmark=node.get("isBenchmark") is True,
    )
