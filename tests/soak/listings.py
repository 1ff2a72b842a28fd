"""The API's responses in a program: faults, and listings of all kinds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping

import attrs
from scripted_server import Answer, ScriptedServer, Seen

API: dict[str, Callable[[random.Random], Answer]] = {}
"""The repertoire by name, as functions of a random generator."""


def _api(make: Callable[[random.Random], Answer]) -> Callable[[random.Random], Answer]:
    API[make.__name__] = make
    return make


@_api
def api_fails(chance: random.Random) -> Answer:
    status = chance.choice([408, 429, 500, 502, 503, 504])
    return Answer(status=status, headers={"Retry-After": "0"}, body=b"no healthy upstream")


@_api
def api_refuses(chance: random.Random) -> Answer:
    return Answer(status=chance.choice([400, 401, 403, 404, 409, 422]), body=b'{"errors": [{"message": "because"}]}')


@_api
def api_errors(chance: random.Random) -> Answer:
    bodies: list[object] = [
        {"errors": ["one", {"message": "two"}], "data": None},
        {"error": "one"},
        {"data": {"project": None}},
        {"data": {"project": {"run": None}}},
        {"data": None},
        [],
    ]
    return Answer(body=json.dumps(chance.choice(bodies)).encode())


@_api
def api_sends_garbage(chance: random.Random) -> Answer:
    return Answer(body=chance.choice([b"<html>Log in</html>", b"", b'{"data": {"proj', b"[" * 200_000, b"\xff\xfe"]))


@_api
def api_breaks(chance: random.Random) -> Answer:
    answer = Answer(body=b'{"data": {"project"' + b" " * 100, length=5000)
    return answer.but(cut=chance.choice([0, 50]), end=chance.choice(["close", "reset", "stall"]))


LISTINGS: tuple[str, ...] = (
    "as it should be",
    "null entries",
    "the same file twice",
    "numbers as texts",
    "an entry without a name",
    "a page that comes again",
    "no end",
    "a wrong count",
)


@attrs.define
class Listing:
    """Lists the run page by page, and oddly if so configured.

    Attributes:
        server: Its `files` are listed.
        oddity: One of `LISTINGS`.
        answers: The number of responses; part of each URL, so that renewed ones differ.
    """

    server: ScriptedServer
    oddity: str
    answers: int = 0

    def __call__(self, seen: Seen) -> Answer:
        """Answer one query for files."""
        self.answers += 1
        variables = json.loads(seen.body)["variables"]
        names = variables.get("fileNames") or list(self.server.files)
        begin = int(variables.get("fileCursor") or 0)
        end = begin + int(variables.get("fileLimit") or 50)
        found = [self._node(name) for name in names if name in self.server.files]
        edges: list[object] = [{"node": node, "cursor": str(begin + n + 1)} for n, node in enumerate(found[begin:end])]
        more, count, cursor = end < len(found), len(found), str(min(end, len(found)))
        match self.oddity:
            case "null entries":
                edges = [None, {"node": None, "cursor": None}, *edges]
            case "the same file twice":
                edges = [*edges[:1], *edges]
            case "an entry without a name":
                edges = [{"node": {"id": "x", "sizeBytes": -1}, "cursor": "0"}, *edges]
            case "a page that comes again" if more:
                cursor = str(begin)
            case "no end" if not variables.get("fileNames"):
                more, cursor = True, str(begin + len(edges) + 1)
            case "a wrong count":
                count = 1
        files = {"edges": edges, "pageInfo": {"endCursor": cursor, "hasNextPage": more}}
        data = {"project": {"internalId": "7", "run": {"fileCount": count, "files": files}}}
        return Answer(headers={"Content-Type": "application/json"}, body=json.dumps({"data": data}).encode())

    def _node(self, name: str) -> Mapping[str, object]:
        node = dict(self.server.files[name])
        if node["directUrl"]:
            node["directUrl"] = f"{node['directUrl']}&answer={self.answers}"
        if self.oddity == "numbers as texts" and node["sizeBytes"] is not None:
            node["sizeBytes"] = str(node["sizeBytes"])
        return node
