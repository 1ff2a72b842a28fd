from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._graphql.run_paths import parse_project_path, parse_run_path, possible_meanings, split_file_page
from wbfiles_async._models import ProjectPath, RunPath
from wbfiles_async.errors import ConfigurationError

CLOUD = "https://api.wandb.ai"


def parse(path: str, base_url: str = CLOUD, entity: str | None = "me", project: str | None = "mine") -> RunPath:
    return parse_run_path(path, base_url=base_url, entity=entity, project=project)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("e/p/r", ("e", "p", "r")),
        ("/e/p/r/", ("e", "p", "r")),
        ("e/p/runs/r", ("e", "p", "r")),
        ("/e/p/runs/r", ("e", "p", "r")),
        ("p/runs/r", ("me", "p", "r")),
        ("p/r", ("me", "p", "r")),
        ("runs/r", ("me", "runs", "r")),
        ("/runs/r", ("me", "mine", "r")),
        ("r", ("me", "mine", "r")),
        ("e/p:r", ("e", "p", "r")),
        ("p:r", ("me", "p", "r")),
        ("e/my project/r", ("e", "my project", "r")),
    ],
)
def test_path_is_parsed_as_by_wandb(path: str, expected: tuple[str, str, str]) -> None:
    from wandb.apis.public.api import Api

    theirs = Api._parse_path(
        SimpleNamespace(settings={"entity": "me", "project": "mine"}, default_entity="x"),  # type: ignore[arg-type]
        path,
    )

    assert parse(path) == RunPath(*expected)
    assert theirs == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://wandb.ai/e/p/runs/r",
        "https://www.wandb.ai/e/p/runs/r/",
        "HTTPS://WANDB.AI/e/p/runs/r",
        "https://wandb.ai:443/e/p/runs/r",
        "https://wandb.ai/e/p/runs/r/files/",
        "https://wandb.ai/e/p/runs/r/overview",
        "https://wandb.ai/e/p/runs/r/workspace?nw=nwuserx#section",
        "https://wandb.ai/%65/p/runs/%72/logs",
        "https://forge.coreweave.com/wandb/e/p/runs/r?nw=1",
    ],
)
@pytest.mark.parametrize("base_url", [CLOUD, "https://api.forge.coreweave.com"])
def test_url_of_the_cloud_names_a_run(url: str, base_url: str) -> None:
    assert parse(url, base_url) == RunPath("e", "p", "r")


@pytest.mark.parametrize(
    ("url", "base_url", "host", "hint"),
    [
        ("https://wandb.ai/e/p/runs/r", "http://localhost:8080", "wandb.ai", "https://api.wandb.ai"),
        ("https://forge.coreweave.com/wandb/e/p/runs/r", "https://acme.example", "forge.coreweave.com", "api.wandb.ai"),
        ("https://wandb.ai/e/p/runs/r", "https://acme.wandb.ai", "wandb.ai", "https://api.wandb.ai"),
        ("https://acme.wandb.ai/e/p/runs/r", CLOUD, "acme.wandb.ai", "its API"),
        ("http://localhost:8080/e/p/runs/r", "http://localhost:9090", "localhost", "its API"),
    ],
)
def test_url_of_another_server_is_refused(url: str, base_url: str, host: str, hint: str) -> None:
    """A URL copied from one server must not be used, or deleted, on another."""
    for read in (
        lambda: parse(url, base_url),
        lambda: parse_project_path(url, base_url=base_url, entity=None, project=None),
        lambda: possible_meanings(url, base_url=base_url, entity=None, project=None),
    ):
        with pytest.raises(ConfigurationError) as caught:
            read()
        message = str(caught.value)
        assert f"page of the server {host}" in message
        assert f"configured server is {base_url}" in message
        assert "WANDB_BASE_URL" in message
        assert hint in message
    assert split_file_page(f"{url}/files/a.txt", base_url=base_url) is None


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://localhost:8080", "http://localhost:8080/e/p/runs/r"),
        ("https://api.wandb.acme.com", "https://wandb.acme.com/e/p/runs/r"),
        ("https://api.wandb.acme.com", "https://app.wandb.acme.com/e/p/runs/r"),
        ("https://api.wandb.acme.com", "https://api.wandb.acme.com/e/p/runs/r"),
        ("https://acme.com/tools/wandb/", "https://acme.com/tools/wandb/e/p/runs/r/files"),
        ("http://[::1]:80", "http://[::1]/e/p/runs/r"),
    ],
)
def test_url_of_the_configured_server_names_the_run(base_url: str, url: str) -> None:
    assert parse(url, base_url) == RunPath("e", "p", "r")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "e//r",
        "a/b/c/d",
        "a/b/c/d/e",
        "e/p/runs",
        "e/p/sweeps/s",
        " e/p/r",
        "e/p/r\n",
        "e/p/\tr",
        "e/p/r\x00",
        "e/p/\u202er",
        "e/../r",
        "e/p/r?nw=1",
        "e/p%2fr",
        "e\\p\\r",
        "a:b:c",
        "e/p/a:b",
        ":r",
        "p:",
        "https://",
        "https://wandb.ai",
        "https://wandb.ai/e/p",
        "https://wandb.ai/e/p/runs",
        "https://wandb.ai/e/p/runs/",
        "https://wandb.ai/e/p/runs//files",
        "https://wandb.ai/e/p/runs/r/files/media/a.png",
        "https://wandb.ai/e/p/runs/r/artifacts/model/m/v0",
        "https://wandb.ai/e/p/table",
        "https://wandb.ai/e/projects",
        "https://wandb.ai/e/p/sweeps/s",
        "https://wandb.ai/e/p/reports/Title--Vmlldzo1",
        "https://wandb.ai/e/p/artifacts/model/m/v0",
        "https://wandb.ai/e/p/runs/a%2Fb",
        "https://wandb.ai/e/p/runs/%ff",
        "https://wandb.ai/e/p/runs/r\n",
        "https://wandb.ai.evil.com/e/p/runs/r",
        "https://wandb.ai@evil.com/e/p/runs/r",
        "https://evil.com/wandb.ai/e/p/runs/r",
        "https://wandb.ai:8443/e/p/runs/r",
        "https://wandb.ai:nope/e/p/runs/r",
        "https://forge.coreweave.com/e/p/runs/r",
        "https://forge.coreweave.com/wandbx/e/p/runs/r",
        "ftp://wandb.ai/e/p/runs/r",
        "https://[wandb.ai/e/p/runs/r",
    ],
)
def test_invalid_run_path_lists_the_accepted_forms(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"entity/project/run_id, .*URL of the run's page"):
        parse(path)


def test_missing_project_is_explained() -> None:
    with pytest.raises(ConfigurationError, match=r"project/run_id.*WANDB_PROJECT"):
        parse("r", project=None)


def test_unknown_entity_is_left_empty() -> None:
    assert parse("p/r", entity=None) == RunPath("", "p", "r")


def test_message_shows_no_query_of_the_url() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse("https://wandb.ai/e/p?apiKey=hunter2")
    assert "hunter2" not in str(caught.value)


@given(st.text() | st.text(alphabet="/:. %runseph?#").map("https://wandb.ai/".__add__))
def test_any_text_is_a_run_path_or_refused(path: str) -> None:
    try:
        run = parse(path)
    except ConfigurationError:
        return
    for part in (run.entity, run.project, run.run_id):
        assert part
        assert part == part.strip()
        assert "/" not in part


@pytest.mark.parametrize(
    ("path", "project"),
    [
        ("e/p", ProjectPath("e", "p")),
        ("e/p/", ProjectPath("e", "p")),
        ("e/p/runs", ProjectPath("e", "p")),
        ("p", ProjectPath("my-team", "p")),
        ("p/", ProjectPath("my-team", "p")),
        (None, ProjectPath("my-team", "set")),
        ("http://localhost:8080/e/p", ProjectPath("e", "p")),
        ("http://localhost:8080/e/a%20b/table?workspace=user", ProjectPath("e", "a b")),
        ("http://localhost:8080/e/p/workspace", ProjectPath("e", "p")),
        ("http://localhost:8080/e/p/overview#section", ProjectPath("e", "p")),
        ("http://localhost:8080/e/p/runs/", ProjectPath("e", "p")),
    ],
)
def test_path_names_a_project(path: str | None, project: ProjectPath) -> None:
    named = parse_project_path(path, base_url="http://localhost:8080", entity="my-team", project="set")
    assert named == project


@pytest.mark.parametrize(
    "path",
    [
        *("e/p/r", "e//p", "../p", "e/p:r", "http://localhost:8080/e", "https://evil.com/e/p", " e/p"),
        *("http://localhost:8080/e/p/runs/r", "http://localhost:8080/e/p/runs/r/files/a.txt"),
        *("http://localhost:8080/e/p/sweeps/s", "http://localhost:8080/e/projects"),
    ],
)
def test_invalid_project_path_lists_the_accepted_forms(path: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"names no project: .*entity/project, project, .*URL of the project's"
    ):
        parse_project_path(path, base_url="http://localhost:8080", entity=None, project="set")


@pytest.mark.parametrize("path", [None, ""])
def test_unnamed_project_is_explained(path: str | None) -> None:
    with pytest.raises(ConfigurationError, match="set WANDB_PROJECT"):
        parse_project_path(path, base_url="http://localhost:8080", entity="e", project=None)


RUN, PROJECT = RunPath("e", "p", "r"), ProjectPath("e", "p")


@pytest.mark.parametrize(
    ("path", "meanings"),
    [
        ("e/p/r", (RUN,)),
        ("e/p/r/", (RUN,)),
        ("e/p/runs/r", (RUN,)),
        ("http://localhost:8080/e/p/runs/r/files", (RUN,)),
        ("r", (RunPath("my-team", "set", "r"),)),
        ("p:r", (RunPath("my-team", "p", "r"),)),
        ("/runs/r", (RunPath("my-team", "set", "r"),)),
        ("e/p/", (PROJECT,)),
        ("e/p/runs", (PROJECT,)),
        ("e/p/runs/", (PROJECT,)),
        ("http://localhost:8080/e/p", (PROJECT,)),
        ("http://localhost:8080/e/p/runs", (PROJECT,)),
        ("p/", (ProjectPath("my-team", "p"),)),
        ("e/p", (RunPath("my-team", "e", "p"), PROJECT)),
    ],
)
def test_only_two_parts_can_be_a_run_as_well_as_a_project(
    path: str, meanings: tuple[RunPath | ProjectPath, ...]
) -> None:
    assert possible_meanings(path, base_url="http://localhost:8080", entity="my-team", project="set") == meanings


@pytest.mark.parametrize("path", ["", "/", "e//r", "a/b/c/d", "https://wandb.ai/e", "https://evil.com/e/p"])
def test_path_of_neither_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"names no (run|project)"):
        possible_meanings(path, base_url="http://localhost:8080", entity="my-team", project="set")


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("sweeps/s1", 'the page of a sweep.*filter {"sweep": "s1"}'),
        ("sweeps", "the page of a sweep"),
        ("groups/g1/workspace", 'the page of a group of runs.*filter {"group": "g1"}'),
        ("artifacts/model/m/v0", "the page of an artifact"),
        ("artifacts", "the page of an artifact"),
        ("reports/Title--Vmlldzo1", "the page of a report"),
        ("automations", "automations"),
        ("anything/else", "not the URL of a run's page or of a project's page"),
        ("runs/r/artifacts/model/m/v0", "something of the run 'r' that is no file"),
        ("runs/r/overview/deeper", "something of the run 'r' that is no file"),
        ("runs/r/files/media/a.png", "the page of the file or folder 'media/a.png' of the run e/p/r"),
        ("runs//files/a", "a part of it is empty"),
    ],
)
def test_other_page_is_refused(page: str, shown: str) -> None:
    """A page URL never means all of its project or run."""
    url = f"http://localhost:8080/e/p/{page}?nw=1"
    with pytest.raises(ConfigurationError, match=shown):
        possible_meanings(url, base_url="http://localhost:8080", entity="my-team", project="set")
    with pytest.raises(ConfigurationError, match=shown):
        parse_run_path(url, base_url="http://localhost:8080", entity="my-team", project="set")


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("runs/r/files/config.yaml", ("e/p/runs/r", "config.yaml")),
        ("runs/r/files/media/a%20b%2Fc.png?x=1#y", ("e/p/runs/r", "media/a b/c.png")),
        ("runs/r/files/media/images/", ("e/p/runs/r", "media/images")),
        ("runs/r/files", None),
        ("runs/r/files/", None),
        ("runs/r/logs", None),
        ("runs/r/logs/a.txt", None),
        ("sweeps/s/files/a.txt", None),
        ("runs/..%2Fr/files/a.txt", None),
    ],
)
def test_page_of_a_file_is_split_into_run_and_name(path: str, split: tuple[str, str] | None) -> None:
    assert split_file_page(f"http://localhost:8080/e/p/{path}", base_url="http://localhost:8080") == split
    if split is not None:
        assert parse_run_path(split[0], base_url="", entity=None, project=None) == RUN


def test_path_without_a_server_is_no_page_of_a_file() -> None:
    assert split_file_page("e/p/runs/r/files/a.txt", base_url="http://localhost:8080") is None
