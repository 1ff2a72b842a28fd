"""The files of many runs in one listing: many runs per request, in order, in constant memory."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from scripted_server import Answer, ScriptedServer, Seen, client, error_of, graphql_answer
from scripted_server import server as server
from test_runs import PROJECT, count_requests, put_runs

from wbfiles_async import Api, ApiError, AsyncApi, ConfigurationError, RunNotFoundError
from wbfiles_async._graphql.lookahead import LISTINGS_AHEAD
from wbfiles_async.testing import LocalServer


@pytest.fixture
async def api(wandb_server: LocalServer) -> AsyncIterator[AsyncApi]:
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        yield api


async def test_files_know_their_run_and_one_request_lists_many_runs(api: AsyncApi, wandb_server: LocalServer) -> None:
    contents = put_runs(wandb_server, 60)
    wandb_server.clear_requests()
    found = {}
    async for file in api.runs(PROJECT).files():
        assert file.run is not None
        assert file.run.name is not None
        found[f"{file.run.id}/{file.name}"] = file
    assert found.keys() == contents.keys()
    assert count_requests(wandb_server) == {"Runs": 2}
    assert await found["run7/config.yaml"].read_bytes() == contents["run7/config.yaml"]


async def test_patterns_filters_and_order_select(api: AsyncApi, wandb_server: LocalServer) -> None:
    put_runs(wandb_server, 3)
    runs = api.runs(PROJECT, {"name": {"$in": ["run0", "run2"]}}, "-name")
    names = [f"{file.run and file.run.id}/{file.name}" async for file in runs.files(include=["*.json"], exclude=["w*"])]
    assert sorted(names) == ["run0/media/table.json", "run2/media/table.json"]
    wandb_server.clear_requests()
    assert [file async for file in runs.files(include=[])] == []
    assert count_requests(wandb_server) == {}
    with pytest.raises(ConfigurationError, match="include"):
        runs.files(include="*.json")


async def test_missing_project_is_an_error(api: AsyncApi) -> None:
    async with aclosing(api.runs("local/absent").files()) as files:
        with pytest.raises(RunNotFoundError):
            await anext(files)


def test_blocking_files_are_not_cached(wandb_server: LocalServer) -> None:
    contents = put_runs(wandb_server, 3)
    with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        files = api.runs(PROJECT).files(include=["*.yaml"])
        first = next(iter(files))
        assert first.run == api.run(f"{PROJECT}/run0")
        assert first.read_bytes() == contents["run0/config.yaml"]
        assert [file.run and file.run.id for file in files] == ["run1", "run2"]
        assert list(files) == []


class Runs:
    """A project of runs with ``files`` files each, of which the first twenty are listed with the run."""

    def __init__(self, runs: int, files: int) -> None:
        self.runs, self.files = runs, files
        self.gone: set[str] = set()
        self.requested: list[str] = []
        self.at_once = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, seen: Seen) -> Answer:
        variables: dict[str, Any] = json.loads(seen.body)["variables"]
        if "fileCursor" not in variables:
            start = int(variables["cursor"] or 0)
            stop = min(start + variables["perPage"], self.runs)
            nodes = [{"name": f"r{n}", "files": self._files(0, variables["fileLimit"])} for n in range(start, stop)]
            edges = [{"node": node, "cursor": str(start + n + 1)} for n, node in enumerate(nodes)]
            runs = {"edges": edges, "pageInfo": {"hasNextPage": stop < self.runs}}
            return graphql_answer({"project": {"internalId": "7", "runCount": self.runs, "runs": runs}})
        self.requested.append(variables["name"])
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        if self.at_once == LISTINGS_AHEAD:
            self.gate.set()
        await self.gate.wait()
        self.at_once -= 1
        if variables["name"] in self.gone:
            return graphql_answer({"project": {"internalId": "7", "run": None}})
        files = self._files(int(variables["fileCursor"] or 0), variables["fileLimit"])
        return graphql_answer({"project": {"internalId": "7", "run": {"fileCount": self.files, "files": files}}})

    def _files(self, start: int, limit: int) -> dict[str, object]:
        stop = min(start + limit, self.files)
        edges = [
            {
                "node": {"id": str(n), "name": f"{n}.txt", "sizeBytes": 1, "md5": "x", "updatedAt": "t"},
                "cursor": str(n + 1),
            }
            for n in range(start, stop)
        ]
        return {"edges": edges, "pageInfo": {"hasNextPage": stop < self.files}}


async def test_large_runs_are_listed_a_few_ahead_and_in_order(server: ScriptedServer) -> None:
    project = Runs(runs=12, files=45)
    project.gate.clear()
    server.on("/graphql", project)
    async with client(server) as api, aclosing(api.runs("team/project").files()) as files:
        names = [(file.run and file.run.id, file.name) async for file in files]
    assert names == [(f"r{run}", f"{number}.txt") for run in range(12) for number in range(45)]
    assert project.most == LISTINGS_AHEAD
    assert sorted(project.requested) == sorted(f"r{run}" for run in range(12))


async def test_run_removed_meanwhile_is_skipped(server: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    project = Runs(runs=3, files=30)
    project.gone = {"r1"}
    server.on("/graphql", project)
    with caplog.at_level(logging.WARNING):
        async with client(server) as api:
            found = [file.run and file.run.id async for file in api.runs("team/project").files()]
    assert {run: found.count(run) for run in found} == {"r0": 30, "r1": 20, "r2": 30}
    assert "r1: the run was removed" in caplog.text


async def test_failed_listing_raises_and_leaves_no_task(server: ScriptedServer) -> None:
    project = Runs(runs=8, files=30)

    async def answer(seen: Seen) -> Answer:
        if json.loads(seen.body)["variables"].get("name") == "r2":
            return Answer(body=b'{"errors": [{"message": "out of order"}]}')
        return await project(seen)

    server.on("/graphql", answer)
    async with client(server) as api:

        async def listing() -> list[str]:
            return [file.name async for file in api.runs("team/project").files()]

        await error_of(ApiError, listing())
        assert not [task for task in asyncio.all_tasks() if "anext" in repr(task.get_coro())]


async def test_memory_does_not_grow_with_the_number_of_files(server: ScriptedServer) -> None:
    async def peak(runs: int) -> int:
        server.on("/graphql", Runs(runs, files=20))
        gc.collect()
        tracemalloc.start()
        try:
            count = 0
            async with client(server) as api:
                async for _ in api.runs("team/project").files():
                    count += 1
                    server.requests.clear()
            assert count == runs * 20
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await peak(100)
    assert await peak(2000) < await peak(200) + 2_000_000
