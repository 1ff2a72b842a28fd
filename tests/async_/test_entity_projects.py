"""The projects of an entity on LocalServer; tests/async_/test_runs.py compares them with wandb's."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator

import pytest

from wbfiles_async import Api, AsyncApi, AsyncProject, ConfigurationError, Project
from wbfiles_async.testing import LocalServer


@pytest.fixture(autouse=True)
def served(wandb_server: LocalServer) -> None:
    for project in ("vision", "speech", "my project"):
        wandb_server.add_file(f"local/{project}/run1", "a.txt", project.encode())
    wandb_server.add_run("team/other/run2")


@pytest.fixture
async def api(wandb_server: LocalServer) -> AsyncIterator[AsyncApi]:
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        yield api


@pytest.fixture
def blocking(wandb_server: LocalServer) -> Api:
    return Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key)


def operations(server: LocalServer) -> list[str]:
    return [request.operation for request in server.requests]


async def test_projects_are_listed_page_by_page(api: AsyncApi, wandb_server: LocalServer) -> None:
    projects = api.projects("local", per_page=2)
    assert (repr(projects), wandb_server.requests) == ("<AsyncProjects of local>", ())
    assert [[project.name for project in page] async for page in projects.pages()] == [
        ["my project", "speech"],
        ["vision"],
    ]
    assert operations(wandb_server) == ["GetProjects"] * 2
    assert [project.path async for project in api.projects("team")] == [["team", "other"]]
    assert await projects.count() == 3
    assert await api.projects("nobody").to_list() == []
    assert await api.projects("nobody").first() is None


async def test_default_entity_is_requested_once(api: AsyncApi, wandb_server: LocalServer) -> None:
    first = await api.projects().first()
    assert first is not None
    assert (first.entity, first.name, first.is_benchmark) == ("local", "my project", False)
    assert first.id
    assert first.created_at
    await api.projects().to_list()
    assert operations(wandb_server) == ["Viewer", "GetProjects", "GetProjects"]
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key, entity="team") as of_team:
        assert [project.name async for project in of_team.projects()] == ["other"]


async def test_project_gives_access_to_its_runs(api: AsyncApi) -> None:
    project = await api.projects("local").first()
    assert project is not None
    assert [run.path async for run in project.runs({"state": "finished"}, per_page=1)] == [
        ["local", "my project", "run1"]
    ]
    with pytest.raises(ConfigurationError, match="per_page"):
        project.runs(per_page=0)


async def test_pickled_project_needs_a_client(api: AsyncApi) -> None:
    project = await api.projects("local").first()
    again = pickle.loads(pickle.dumps(project))
    assert (again, hash(again), again.created_at) == (project, hash(project), project.created_at)  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match=r"local/my project has no client.*api="):
        again.runs()
    assert await again.runs(api=api).count() == 1


@pytest.mark.parametrize("entity", ["", "a/b", " a", "..", "a\n"])
def test_invalid_entity_is_refused(blocking: Api, entity: str) -> None:
    with pytest.raises(ConfigurationError, match="names no user or team"):
        blocking.projects(entity)
    with pytest.raises(ConfigurationError, match="per_page"):
        blocking.projects("local", per_page=0)


def test_blocking_projects_are_a_sequence(blocking: Api) -> None:
    projects = blocking.projects("local", per_page=1)
    assert (len(projects), projects[0].name, [project.name for project in projects[1:]]) == (
        3,
        "my project",
        ["speech", "vision"],
    )
    assert repr(projects) == "<Projects of local>"
    assert repr(projects[0]) == "<Project local/my project>"
    assert [run.id for run in projects[0].runs()] == ["run1"]
    again = pickle.loads(pickle.dumps(projects[0]))
    assert (again, hash(again)) == (projects[0], hash(projects[0]))
    assert [run.file("a.txt").read_text() for run in again.runs(api=blocking)] == ["my project"]
    assert "speech" in projects._repr_html_()
    assert "local/speech" in projects[1]._repr_html_()


@pytest.mark.parametrize("name", ["sweeps", "collections", "artifacts_types", "owner", "url", "to_html"])
def test_other_wandb_attributes_are_explained(blocking: Api, name: str) -> None:
    project = blocking.projects("local")[0]
    assert isinstance(project, Project)
    for one in (project, project._project):
        assert isinstance(one, Project | AsyncProject)
        with pytest.raises(AttributeError, match=rf"handles files only; for {name} use wandb"):
            getattr(one, name)
