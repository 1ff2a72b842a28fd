"""W&B's API with one project in memory and scripted deletions, as the transport of an httpx client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import httpx
from scripted_server import API_KEY, quick, with_clock

from wbfiles_async import AsyncApi

PROJECT = "team/project"

Reply = httpx.Response | Exception
Mutation = Callable[["ProjectApi", list[str]], Reply]
"""The API's handling of a request to delete files with these ids."""


def data(value: object) -> httpx.Response:
    return httpx.Response(200, json={"data": value})


def error(message: str, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json={"data": None, "errors": [{"message": message}]})


def lost() -> Reply:
    return httpx.ReadError("the connection broke")


def deletes(api: ProjectApi, ids: Iterable[str]) -> Reply:
    """Delete the existing ones, like a good server."""
    there = [api.remove(identity) for identity in ids]
    return data({"deleteFiles": {"success": all(there)}})


@attrs.define(eq=False, slots=False)
class ProjectApi:
    """A project of runs with files.

    Attributes:
        runs: Each run's files: sizes by name. The id of a file is its run and its name.
        mutations: The handling of each mutation; the last one repeats.
        narrows: Whether it evaluates names and patterns; otherwise it lists all files.
        finds_runs: Whether it supports a filter on the runs' names.
        requested: The ids of each mutation.
        operations: The requests, in order.
    """

    runs: dict[str, dict[str, int]]
    mutations: list[Mutation] = attrs.field(factory=lambda: [deletes])
    narrows: bool = True
    finds_runs: bool = True
    requested: list[list[str]] = attrs.field(factory=list)
    operations: list[str] = attrs.field(factory=list)
    at_once: int = 0
    most: int = 0

    def client(self, **options: Any) -> AsyncApi:
        made = AsyncApi(
            base_url="http://wandb.test",
            api_key=API_KEY,
            options=quick(**options),
            transport=httpx.MockTransport(self.answer),
        )
        return with_clock(made)

    @property
    def files(self) -> set[str]:
        """The ids of all existing files."""
        return {f"{run}/{name}" for run, files in self.runs.items() for name in files}

    def remove(self, identity: str) -> bool:
        run, _, name = identity.partition("/")
        return self.runs.get(run, {}).pop(name, None) is not None

    async def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)  # so that others can arrive meanwhile
        self.at_once -= 1
        reply = self._reply(body["query"], body["variables"])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _reply(self, query: str, variables: dict[str, Any]) -> Reply:
        if "mutation" in query:
            self.operations.append("delete")
            self.requested.append(variables["files"])
            mutation = self.mutations.pop(0) if len(self.mutations) > 1 else self.mutations[0]
            return mutation(self, variables["files"])
        if "runCount" in query and "perPage" not in variables:
            self.operations.append("count")
            return data({"project": {"runCount": len(self.runs)}})
        if "perPage" in variables:
            self.operations.append("runs")
            return data({"project": {"internalId": "7"} | self._runs(variables)})
        self.operations.append("run")
        run = self._run(variables["name"], variables, variables.get("fileCursor"))
        return data({"project": {"internalId": "7", "run": run}})

    def _runs(self, variables: dict[str, Any]) -> dict[str, object]:
        named = json.loads(variables["filters"] or "{}").get("name", {}).get("$in")
        ids = [run for run in self.runs if named is None or not self.finds_runs or run in named]
        start = int(variables["cursor"] or 0)
        some = ids[start : start + variables["perPage"]]
        nodes = [{"name": run} | (self._run(run, variables, None) or {}) for run in some]
        edges = [{"node": node, "cursor": str(start + number + 1)} for number, node in enumerate(nodes)]
        page_info = {"endCursor": None, "hasNextPage": start + len(some) < len(ids)}
        return {"runCount": len(ids), "runs": {"edges": edges, "pageInfo": page_info}}

    def _run(self, run: str, variables: dict[str, Any], cursor: str | None) -> dict[str, object] | None:
        if run not in self.runs:
            return None
        if "fileLimit" not in variables:
            return {"fileCount": len(self.runs[run])}
        names = variables["fileNames"] if self.narrows else ()
        found = [name for name in self.runs[run] if not names or name in names]
        start = int(cursor or 0)
        some = found[start : start + variables["fileLimit"]]
        edges = [
            {
                "node": {"id": f"{run}/{name}", "name": name, "sizeBytes": self.runs[run][name], "md5": "x"},
                "cursor": str(start + number + 1),
            }
            for number, name in enumerate(some)
        ]
        page_info = {"endCursor": None, "hasNextPage": start + len(some) < len(found)}
        return {"fileCount": len(self.runs[run]), "files": {"edges": edges, "pageInfo": page_info}}
