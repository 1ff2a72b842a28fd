"""Serves the contenders' requests to W&B's GraphQL API from pages that are built once, in a process of its own.

python -m benchmarks.api_server RUNS_JSON SOCKET_NUMBER
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import attrs
from aiohttp import web

from benchmarks.data import StagedRun, name_of, run_name_of

_SIGNATURE = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=BENCHMARK%2F20240101%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20240101T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=" + 64 * "5"
)

_PERSON = {
    "viewer": {
        "id": "VXNlcjox",
        "entity": "bench",
        "username": "bench",
        "email": "bench@localhost",
        "flags": "{}",
        "teams": {"edges": []},
    }
}

_RUN = {
    "id": "UnVuOjE=",
    "projectId": "1",
    "displayName": "bench",
    "state": "finished",
    "config": "{}",
    "systemMetrics": "{}",
    "summaryMetrics": "{}",
    "historyKeys": None,
    "historyLineCount": 0,
    "tags": [],
    "readOnly": False,
    "createdAt": "2024-01-01T00:00:00",
    "heartbeatAt": "2024-01-01T00:00:00",
    "user": {"name": "bench", "username": "bench"},
} | dict.fromkeys(("sweepName", "group", "jobType", "commit", "description", "notes"))


_FEATURES = [{"name": "MARK_RUN_FILES_UPLOADED", "isEnabled": True}]


def signed(url: str) -> str:
    """Return the URL with a dummy signature of the usual length."""
    return f"{url}?{_SIGNATURE}"


@attrs.frozen
class Listing:
    """The listing of the files of one run, or of the runs of one project, each with such files.

    Attributes:
        run: The run, or the project.
        store: Where the store is, as ``http://host:port``.
        md5s: The md5 of each file, or one for all.
        sent: The folder in which the store keeps uploads to the run.
    """

    run: StagedRun
    store: str
    md5s: list[str]
    sent: str

    def page(self, start: int, stop: int) -> bytes:
        """Return the response that lists the files ``[start, stop)``."""
        return self._answer([self._edge(index) for index in range(start, min(stop, self.run.files))])

    def of_names(self, names: list[str]) -> bytes:
        """Return the response that lists the files of these names."""
        known = (name for name in names if re.fullmatch(r"f\d{6,}\.bin", name) and self._is_there(name))
        indices = (int(name[1:-4]) for name in known)
        return self._answer([self._edge(index) for index in indices if index < self.run.files], complete=True)

    def _is_there(self, name: str) -> bool:
        """Return whether the store has the file; true unless the run is for uploads. Bytes are compared later."""
        return not self.run.uploaded or Path(self.sent, name).exists()

    def upload_urls(self, names: list[str]) -> bytes:
        """Return the response with the upload URLs of files."""
        files = [{"name": name, "uploadUrl": signed(f"{self.store}/put/{self.run.run_id}/{name}")} for name in names]
        return _data({"createRunFiles": {"runID": _RUN["id"], "uploadHeaders": [], "files": files}})

    def _edge(self, index: int, *, urls: bool = True) -> dict[str, object]:
        name = name_of(index)
        url = signed(self.store + self.run.url_path(name))
        node = {"url": url, "directUrl": f"{url}&direct=1"} if urls else {}
        node |= {
            "id": f"RmlsZTo{index}",
            "name": name,
            "sizeBytes": str(self.run.size),
            "mimetype": "application/octet-stream",
            "updatedAt": "2024-01-01T00:00:00",
            "md5": self.md5s[index % len(self.md5s)],
        }
        return {"node": node, "cursor": str(index + 1)}

    def runs(self, names: Sequence[str], start: int, stop: int, files_each: int, urls: bool) -> bytes:
        """Return the response that lists the project's runs ``[start, stop)``, each with some of its files.

        Args:
            names: Only the runs of these names; none means all.
            start: The first of these runs.
            stop: The one after the last.
            files_each: How many files of each.
            urls: Whether with their URLs.
        """
        edges: list[dict[str, object]] = []
        chosen = list(range(self.run.runs))
        if names:
            wanted = frozenset(names)
            chosen = [index for index in chosen if run_name_of(index) in wanted]
        for index in chosen[start:stop]:
            node = _RUN | {"name": run_name_of(index), "fileCount": self.run.files}
            if files_each:
                first = [self._edge(file, urls=urls) for file in range(min(files_each, self.run.files))]
                node["files"] = _connection(first, self.run.files)
            edges.append({"node": node, "cursor": str(start + len(edges) + 1)})
        project = {"internalId": "1", "readOnly": False, "runCount": len(chosen)}
        return _data({"project": project | {"runs": _connection(edges, len(chosen))}})

    def _answer(self, edges: list[dict[str, object]], *, complete: bool = False) -> bytes:
        files = _connection(edges, 0 if complete else self.run.files)
        return _data({"project": {"internalId": "1", "run": {"fileCount": self.run.files, "files": files}}})


def _connection(edges: list[dict[str, object]], count: int) -> dict[str, object]:
    end = str(edges[-1]["cursor"]) if edges else None
    return {"edges": edges, "pageInfo": {"endCursor": end, "hasNextPage": end is not None and int(end) < count}}


def _data(data: object) -> bytes:
    return json.dumps({"data": data}).encode()


class Answers:
    """Answers requests; caches each page."""

    def __init__(self, listings: dict[str, Listing]) -> None:
        self._listings = listings
        self._page = cache(lambda run_id, start, stop: listings[run_id].page(start, stop))
        self._runs = cache(lambda project, *asked: listings[project].runs(*asked))
        self._asked = 0

    async def asked(self, request: web.Request) -> web.Response:
        """Return the number of GraphQL requests."""
        return web.Response(text=str(self._asked))

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request to ``/graphql``; refuse what no contender requests."""
        self._asked += 1
        asked = await request.json()
        variables = asked.get("variables") or {}
        match = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
        operation = match[1] if match else None
        if operation in ("Viewer", "GetDefaultEntity"):
            return web.json_response({"data": _PERSON})
        if operation == "ServerFeaturesQuery":
            return web.json_response({"data": {"serverInfo": {"features": _FEATURES}}})
        if operation == "MarkRunFilesUploaded":
            return web.json_response({"data": {"markRunFilesUploaded": {"success": True}}})
        named = (variables.get(each, "") for each in ("project", "name", "run"))
        listing = next((self._listings[name] for name in named if name in self._listings), None)
        known = ("Run", "RunFiles", "Runs", "RunCount", "CreateRunFiles")
        if listing is None or operation not in known or variables.get("pattern"):
            return web.json_response({"errors": [{"message": "the benchmark does not support this query"}]}, status=400)
        if listing.run.latency:
            await asyncio.sleep(listing.run.latency)
        if operation == "CreateRunFiles":
            return web.Response(body=listing.upload_urls(variables["files"]), content_type="application/json")
        if operation == "RunCount":
            return web.json_response({"data": {"project": {"runCount": listing.run.runs}}})
        if operation == "Runs":
            start = int(variables.get("cursor") or 0)
            stop = start + variables["perPage"]
            filters = json.loads(variables.get("filters") or "{}")
            names = tuple(filters.get("name", {}).get("$in", ()))
            urls = "directUrl" in asked["query"]
            body = self._runs(listing.run.run_id, names, start, stop, variables.get("fileLimit", 0), urls)
            return web.Response(body=body, content_type="application/json")
        if operation == "Run":
            return web.json_response({"data": {"project": {"run": _RUN | {"name": variables["name"]}}}})
        if variables.get("fileNames"):
            body = listing.of_names(variables["fileNames"])
        else:
            start = int(variables.get("fileCursor") or 0)
            body = self._page(listing.run.run_id, start, start + variables["fileLimit"])
        return web.Response(body=body, content_type="application/json")


def _main(runs: Path, number: int) -> None:
    given = json.loads(runs.read_text())
    listings = [Listing(StagedRun(**each["run"]), each["store"], each["md5s"], each["sent"]) for each in given]
    app = web.Application()
    answers = Answers({listing.run.run_id: listing for listing in listings})
    app.router.add_post("/graphql", answers.answer)
    app.router.add_get("/asked", answers.asked)
    web.run_app(app, sock=socket.socket(fileno=number), access_log=None, print=None)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
