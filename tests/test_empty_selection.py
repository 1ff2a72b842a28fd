"""An empty selection selects nothing: for listing, download and deletion it never means "everything"."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from scripted_server import RUN, Answer, ScriptedServer, Seen, client, error_of, graphql_answer
from scripted_server import server as server

from wbfiles_async import Api, AsyncApi, AsyncFiles, AsyncRun, ConfigurationError
from wbfiles_async.testing import LocalServer

FILES = ("config.yaml", "media/a.png", "media/b.png")
PATH = "local/vision/run0"


@pytest.fixture
async def run(wandb_server: LocalServer) -> AsyncIterator[AsyncRun]:
    for name in FILES:
        wandb_server.add_file(PATH, name, b"x")
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        yield api.run(PATH)


async def left(run: AsyncRun) -> list[str]:
    return sorted([file.name async for file in run.files()])


def nothing() -> Iterable[str]:
    yield from ()


EMPTY: list[Callable[[AsyncRun], AsyncFiles]] = [
    lambda run: run.files(names=[]),
    lambda run: run.files(()),
    lambda run: run.files(names=nothing()),
    lambda run: run.files(names=[""]),
    lambda run: run.files(names=["absent.txt"]),
    lambda run: run.files(pattern=""),
    lambda run: run.files(pattern=" \t"),
    lambda run: run.files(names=[], match={"name": "config.yaml"}),
    lambda run: run.files(match={"name": ""}),
]
"""Selections without a file."""

empty = pytest.mark.parametrize("select", EMPTY, ids=map(str, range(len(EMPTY))))

NO_FILES: list[dict[str, Any]] = [
    {"include": []},
    {"include": ()},
    {"include": nothing()},
    {"include": [], "exclude": ["*.png"]},
    {"include": [" "]},
    {"exclude": ["*"]},
    {"include": ["*.png"], "exclude": ["media/*"]},
]
"""Arguments of a bulk operation that leave no file."""


@empty
async def test_listing_is_empty(run: AsyncRun, select: Callable[[AsyncRun], AsyncFiles]) -> None:
    files = select(run)
    assert await files.to_list() == []
    assert await files.first() is None
    assert await files.count() == 0


@empty
async def test_deletion_deletes_nothing(run: AsyncRun, select: Callable[[AsyncRun], AsyncFiles]) -> None:
    assert (await select(run).delete()).files == 0
    assert (await select(run).delete(include=["*"])).files == 0
    assert await left(run) == [*FILES]


@empty
async def test_download_fetches_nothing(
    run: AsyncRun, tmp_path: Path, select: Callable[[AsyncRun], AsyncFiles]
) -> None:
    assert (await select(run).download(tmp_path / "out")).files == 0
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("arguments", NO_FILES, ids=map(str, range(len(NO_FILES))))
async def test_patterns_without_a_file_touch_nothing(run: AsyncRun, tmp_path: Path, arguments: dict[str, Any]) -> None:
    arguments = {key: tuple(globs) for key, globs in arguments.items()}
    assert (await run.files().delete(**arguments)).files == 0
    assert await left(run) == [*FILES]
    assert (await run.download(tmp_path / "out", **arguments)).files == 0
    api = run._client
    assert isinstance(api, AsyncApi)
    assert (await api.download([run], tmp_path / "out", **arguments)).files == 0
    assert (await api.runs("local/vision").download(tmp_path / "out", **arguments)).files == 0
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


async def test_generator_of_patterns_selects_what_it_yields(run: AsyncRun) -> None:
    report = await run.files().delete(include=(glob for glob in ["*.png"]))
    assert report.deleted == 2
    assert await left(run) == ["config.yaml"]


@pytest.mark.parametrize("arguments", [{}, {"exclude": []}, {"include": None}, {"dry_run": True}])
async def test_deleting_all_files_must_be_explicit(run: AsyncRun, arguments: dict[str, Any]) -> None:
    error = await error_of(ConfigurationError, run.files().delete(**arguments))
    assert "all=True" in error.message
    assert await left(run) == [*FILES]


async def test_all_true_deletes_all_files(run: AsyncRun) -> None:
    assert (await run.files().delete(all=True)).deleted == len(FILES)
    assert await left(run) == []


@pytest.mark.parametrize("arguments", [{"include": ["*.png"]}, {"include": []}, {"exclude": ["*.png"]}])
async def test_all_true_contradicts_a_selection(run: AsyncRun, arguments: dict[str, Any]) -> None:
    await error_of(ConfigurationError, run.files().delete(all=True, **arguments))
    await error_of(ConfigurationError, run.files(names=["config.yaml"]).delete(all=True))
    assert await left(run) == [*FILES]


@pytest.mark.parametrize("names", ["*.png", "", b"x", 7, [None], [b"config.yaml"], [7]])
async def test_names_must_be_a_list_of_strings(run: AsyncRun, names: Any) -> None:
    with pytest.raises(ConfigurationError, match="names"):
        run.files(names=names)


@pytest.mark.parametrize(("names", "pattern"), [([], "%"), (["config.yaml"], ""), ([], "")])
async def test_names_and_a_pattern_contradict_even_when_empty(run: AsyncRun, names: list[str], pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="names or by a pattern"):
        run.files(names, pattern)


async def test_missing_path_is_neither_project_nor_run(run: AsyncRun, tmp_path: Path) -> None:
    api = run._client
    assert isinstance(api, AsyncApi)
    with pytest.raises(ConfigurationError, match="project is not known"):
        api.runs("")
    no_path: Any = []
    with pytest.raises(ConfigurationError, match="named by its path"):
        api.runs(no_path)
    await error_of(ConfigurationError, api.download("", tmp_path / "out"))
    assert (await api.download([], tmp_path / "out")).files == 0
    assert (await api.runs("local/vision", filters={"name": {"$in": []}}).to_list()) == []


async def test_names_apply_if_the_server_ignores_them(server: ScriptedServer) -> None:
    """A server that lists everything must not turn a selection into all files."""
    deleted: list[str] = []

    def answer(seen: Seen) -> Answer:
        body = json.loads(seen.body)
        if "mutation" in body["query"]:
            deleted.extend(body["variables"]["files"])
            return graphql_answer({"deleteFiles": {"success": True}})
        edges = [
            {"node": {"id": name, "name": name, "sizeBytes": 1, "md5": "x", "updatedAt": "t"}, "cursor": name}
            for name in FILES
        ]
        files = {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}
        return graphql_answer({"project": {"internalId": "7", "run": {"fileCount": len(edges), "files": files}}})

    server.on("/graphql", answer)
    async with client(server) as api:
        files = api.run(RUN).files(names=["media/a.png", "absent.txt"])
        assert [file.name async for file in files] == ["media/a.png"]
        assert (await files.delete()).deleted == 1
    assert deleted == ["media/a.png"]


def test_blocking_objects_select_alike(wandb_server: LocalServer, tmp_path: Path) -> None:
    for name in FILES:
        wandb_server.add_file(PATH, name, b"x")
    with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        run = api.run(PATH)
        assert len(run.files(names=[])) == 0
        assert "no names" in run.files(names=[])._repr_html_()
        assert run.files(names=nothing()).delete().files == 0
        assert run.files().delete(include=[]).files == 0
        assert run.download(tmp_path / "out", include=[]).files == 0
        with pytest.raises(ConfigurationError, match="all=True"):
            run.files().delete()
        planned = run.files().delete(exclude=["*.yaml"], dry_run=True).planned_files
        assert [file.name for file in planned] == ["media/a.png", "media/b.png"]
        assert run.files().delete(all=True).deleted == len(FILES)
