"""Downloads of many runs' files from a misbehaving server, and in bounded memory."""

from __future__ import annotations

import asyncio
import json
import logging
import tracemalloc
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import pytest
from scripted_server import (
    Answer,
    ScriptedServer,
    Seen,
    Stored,
    base64_md5,
    client,
    error_of,
    graphql_answer,
    temporaries,
)
from scripted_server import server as server
from scripted_server import waits as waits

from wbfiles_async import ApiError, FileResult, NameCollisionError, RunNotFoundError, UnsafePathError
from wbfiles_async._graphql import pagination as pages

pytestmark = pytest.mark.usefixtures("waits")

PROJECT = "team/project"


def written(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def connection(edges: list[dict[str, object]], more: bool) -> dict[str, object]:
    return {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": more}}


@attrs.define
class Project:
    """A project of very many runs with the same small files, generated page by page.

    Attributes:
        server: The scripted server.
        runs: The number of runs.
        files: The number of files per run.
        name_of: The id of a run.
        variables: The variables of the queries.
        queries: The number of queries.
        answer_run: Replaces the response for the files of one run.
        knows_names: Whether it supports a filter on the runs' names; otherwise it lists all runs.
    """

    server: ScriptedServer
    runs: int
    files: int = 2
    name_of: Callable[[int], str] = "run{}".format
    variables: deque[Mapping[str, object]] = attrs.field(factory=deque)
    queries: int = 0
    answer_run: Mapping[str, Answer] = attrs.field(factory=dict)
    knows_names: bool = True

    def __attrs_post_init__(self) -> None:
        self.server.on("/graphql", self)
        self.server.on("/store/same", Stored(b"same"))

    def __call__(self, seen: Seen) -> Answer:
        self.server.requests.clear()
        variables = json.loads(seen.body)["variables"]
        self.variables.append(variables)
        self.queries += 1
        if "filters" in variables and (names := self._named(variables["filters"])):
            return self._answer_named(names, variables)
        if "name" in variables:
            if variables["name"] in self.answer_run:
                return self.answer_run[variables["name"]]
            files = self.files_from(int(variables["fileCursor"] or -1) + 1, variables["fileLimit"])
            return graphql_answer({"project": {"internalId": "7", "run": {"fileCount": self.files, "files": files}}})
        first = int(variables["cursor"] or -1) + 1
        last = min(first + variables["perPage"], self.runs)
        nodes: list[dict[str, object]] = [{"name": self.name_of(number)} for number in range(first, last)]
        if "fileLimit" in variables:
            nodes = [node | {"files": self.files_from(0, variables["fileLimit"])} for node in nodes]
        cursors = map(str, range(first, last))
        runs = connection([{"node": n, "cursor": c} for n, c in zip(nodes, cursors, strict=True)], last < self.runs)
        return graphql_answer({"project": {"runCount": self.runs, "runs": runs}})

    def _named(self, filters: str) -> list[str]:
        """Return the names in a filter; none if it has no names."""
        return json.loads(filters).get("name", {}).get("$in", []) if self.knows_names else []

    def _answer_named(self, names: list[str], variables: Mapping[str, object]) -> Answer:
        known = [name for name in map(self.name_of, range(self.runs)) if name in names]
        files = self.files_from(0, int(str(variables["fileLimit"])))
        edges: list[dict[str, object]] = [{"node": {"name": name, "files": files}, "cursor": name} for name in known]
        return graphql_answer({"project": {"runCount": len(known), "runs": connection(edges, False)}})

    def files_from(self, first: int, count: int) -> dict[str, object]:
        last = min(first + count, self.files)
        return connection([{"node": self.node(n), "cursor": str(n)} for n in range(first, last)], last < self.files)

    def node(self, number: int) -> dict[str, object]:
        url = self.server.url("/store/same")
        name = f"{number:05}.txt"
        return {"id": name, "name": name, "url": None, "directUrl": url, "sizeBytes": 4, "md5": base64_md5(b"same")}


async def test_files_of_many_runs_are_complete(server: ScriptedServer, tmp_path: Path) -> None:
    project = Project(server, runs=23, files=7)
    async with client(server) as api:
        report = await api.runs(PROJECT, per_page=250).download(tmp_path)  # with four files of each
    assert written(tmp_path) == {f"run{run}/{file:05}.txt": b"same" for run in range(23) for file in range(7)}
    assert (report.files, report.downloaded) == (161, 161)
    assert [variables["fileCursor"] for variables in project.variables if "name" in variables] == ["3"] * 23


async def test_colliding_files_of_several_runs_are_refused(server: ScriptedServer, tmp_path: Path) -> None:
    Project(server, runs=3, files=2)
    results: list[FileResult] = []
    async with client(server) as api:
        report = await api.runs(PROJECT).download(tmp_path, layout="", raise_on_error=False, on_result=results.append)
    assert (report.files, report.downloaded, report.failed) == (6, 0, 6)
    assert {type(result.error) for result in results} == {NameCollisionError}
    assert {result.run for result in results} == {f"team/project/run{number}" for number in range(3)}
    assert written(tmp_path) == {}


async def test_runs_are_listed_as_files_complete(server: ScriptedServer, tmp_path: Path) -> None:
    project, gate = Project(server, runs=1000, files=30), asyncio.Event()
    server.on("/store/same", Answer(body=b"same", gate=gate))
    async with client(server, connections=4) as api:
        task = asyncio.create_task(api.runs(PROJECT, per_page=10).download(tmp_path, include=["0000?.txt"]))
        while server.busy < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for _ in range(200):
            await asyncio.sleep(0)
        # The page in use and the next one, and a page of each run that is listed separately.
        assert len(project.variables) <= 2 + 4 * 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not temporaries(tmp_path)


async def test_planning_takes_no_memory_for_each_run_or_file(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_REMEMBERED_IDS", 100)
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)

    async def peak(runs: int) -> int:
        project = Project(server, runs, files=3, variables=deque(maxlen=1))
        async with client(server) as api:
            tracemalloc.start()
            try:
                report = await api.runs(PROJECT, per_page=20).download(tmp_path, dry_run=True)
                assert report.planned == runs * 3
                assert project.queries == runs / 20
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    await peak(200)  # lazy imports and caches
    most = await peak(200) + 450_000  # 83 bytes for each of 5,400 files more, of which 24 tell names that collide
    # Once more if need be: Python's table of interned names, which paths use, may happen to grow in one of them.
    assert await peak(2000) < most or await peak(2000) < most


async def test_failed_listing_of_one_run_stops_no_other(server: ScriptedServer, tmp_path: Path) -> None:
    Project(
        server,
        runs=4,
        files=30,
        answer_run={
            "run1": graphql_answer(None, status=500),
            "run2": graphql_answer({"project": {"internalId": "7", "run": None}}),
            "run3": graphql_answer(
                {"project": {"run": {"files": {"edges": [], "pageInfo": {"endCursor": None, "hasNextPage": True}}}}}
            ),
        },
    )
    results: list[FileResult] = []
    async with client(server) as api:
        report = await api.runs(PROJECT).download(tmp_path, raise_on_error=False, on_result=results.append)
    assert len(written(tmp_path)) == 30 + 3 * 20
    assert {failure.run: type(failure.error) for failure in report.failures} == {
        f"{PROJECT}/run1": ApiError,
        f"{PROJECT}/run2": RunNotFoundError,
        f"{PROJECT}/run3": ApiError,
    }
    assert (report.files, report.downloaded, report.failed) == (93, 90, 3)


@pytest.mark.parametrize("run_id", ["..", "a/b", "/etc", ".wbfiles-state", "x\x1b[31m"])
async def test_run_with_an_unsafe_id_fails_without_writing(server: ScriptedServer, tmp_path: Path, run_id: str) -> None:
    Project(server, runs=2, name_of=[run_id, "good"].__getitem__)
    async with client(server) as api:
        report = await api.runs(PROJECT).download(tmp_path / "out", raise_on_error=False)
    assert written(tmp_path) == {"out/good/00000.txt": b"same", "out/good/00001.txt": b"same"}
    assert [type(failure.error) for failure in report.failures] == [UnsafePathError]
    assert report.files == 3


async def test_circular_listing_of_runs_is_an_error(server: ScriptedServer, tmp_path: Path) -> None:
    runs = connection([{"node": {"name": "r", "files": connection([], False)}, "cursor": "same"}], True)
    server.on("/graphql", graphql_answer({"project": {"runs": runs}}))
    async with client(server) as api:
        error = await error_of(ApiError, api.runs(PROJECT).to_list())
        assert "the runs of team/project cannot be listed to the end" in str(error)
        await error_of(ApiError, api.runs(PROJECT).download(tmp_path))


async def test_refused_page_is_retried_with_fewer_files(server: ScriptedServer, tmp_path: Path) -> None:
    project = Project(server, runs=60, files=3)
    server.on("/graphql", graphql_answer(None, status=400), project)
    async with client(server) as api:
        report = await api.runs(PROJECT).download(tmp_path)
    assert report.downloaded == 180
    listings = [variables for variables in project.variables if "name" not in variables]
    assert [(variables["perPage"], variables["fileLimit"]) for variables in listings] == [(50, 2), (50, 2)]


async def test_invalid_run_entries_are_logged(server: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    edges: list[dict[str, object]] = [{"node": {"name": "r1"}, "cursor": "a"}, {"node": None, "cursor": "b"}]
    server.on("/graphql", graphql_answer({"project": {"runs": connection(edges, False)}}))
    async with client(server) as api:
        assert [run.id async for run in api.runs(PROJECT)] == ["r1"]
        assert await api.runs(PROJECT).count() == 1  # the server counts none
    assert "team/project: the server listed 1 runs without an id; they are left out" in caplog.text


async def test_invalid_file_entries_are_logged(
    server: ScriptedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = connection([{"node": {"id": "nameless"}, "cursor": "a"}], False)
    edges: list[dict[str, object]] = [{"node": {"name": "r1", "files": files}, "cursor": "a"}]
    server.on("/graphql", graphql_answer({"project": {"runs": connection(edges, False)}}))
    async with client(server) as api:
        await api.runs(PROJECT).download(tmp_path)
    assert "team/project/r1: the server listed 1 files without a name; they are left out" in caplog.text


def kinds(project: Project) -> list[str]:
    """The variables of each query."""
    return ["files" if "name" in variables else "runs" for variables in project.variables]


async def test_named_runs_with_many_files_are_listed_further(server: ScriptedServer, tmp_path: Path) -> None:
    project = Project(server, runs=30, files=70)
    async with client(server) as api:
        report = await api.download([f"{PROJECT}/run{number}" for number in range(20)], tmp_path)  # 50 files of each
    there = written(tmp_path).keys() - {".wbfiles-state"}
    assert there == {f"run{run}/{file:05}.txt" for run in range(20) for file in range(70)}
    assert report.downloaded == 20 * 70
    assert kinds(project) == ["runs"] + ["files"] * 20
    assert {variables["fileCursor"] for variables in project.variables if "name" in variables} == {"49"}


async def test_refused_name_filter_falls_back_to_single_runs(server: ScriptedServer, tmp_path: Path) -> None:
    project = Project(server, runs=150)
    refusal = graphql_answer(None, status=400)
    server.on("/graphql", refusal, refusal, project)  # refused with as many files, and with fewer
    given = [f"{PROJECT}/run{number}" for number in range(120)]
    async with client(server) as api:
        assert (await api.download(given, tmp_path / "once")).downloaded == 240
        assert kinds(project) == ["files"] * 120
        assert (await api.download(given, tmp_path / "twice")).downloaded == 240
        assert kinds(project) == ["files"] * 240


async def test_ignored_name_filter_falls_back_to_single_runs(server: ScriptedServer, tmp_path: Path) -> None:
    project = Project(server, runs=1000, knows_names=False)
    given = [f"{PROJECT}/run{number}" for number in range(40, 160)]
    async with client(server) as api:
        assert (await api.download(given, tmp_path)).downloaded == 240
    assert {name.partition("/")[0] for name in written(tmp_path)} == {f"run{number}" for number in range(40, 160)}
    assert kinds(project).count("files") == 120
    assert kinds(project).count("runs") <= 3  # and what was requested ahead


async def test_named_runs_survive_a_passing_failure(server: ScriptedServer, tmp_path: Path, waits: list[float]) -> None:
    project = Project(server, runs=60)
    server.on("/graphql", graphql_answer(None, status=503), graphql_answer(None, status=500), project)
    async with client(server) as api:
        report = await api.download([f"{PROJECT}/run{number}" for number in range(60)], tmp_path)
    assert report.downloaded == 120
    assert kinds(project) == ["runs", "runs"]
    assert len(waits) == 2


async def test_named_runs_that_cannot_be_listed_in_time_are_listed_with_fewer_files(
    server: ScriptedServer, tmp_path: Path
) -> None:
    project = Project(server, runs=60, files=5)
    server.on("/graphql", graphql_answer(None, status=504), project)
    async with client(server) as api:
        report = await api.download([f"{PROJECT}/run{number}" for number in range(50)], tmp_path)
    assert report.downloaded == 250
    assert [variables["fileLimit"] for variables in project.variables if "perPage" in variables] == [2]
