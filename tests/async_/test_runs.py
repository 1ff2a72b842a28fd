"""The runs of a project: listing, counting and downloading their files, on LocalServer and compared with wandb."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scripted_server import error_of

from wbfiles_async import (
    Api,
    ApiError,
    AsyncApi,
    AsyncRun,
    AuthenticationError,
    ConfigurationError,
    FileResult,
    IncompleteDownloadError,
    LocalWriteError,
    RunNotFoundError,
)
from wbfiles_async._models import RunPath
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._records import RunRecord

PROJECT = "local/vision"
"""A project of the default entity, so that `vision/run0` names a run of it."""


@pytest.fixture
async def api(wandb_server: LocalServer) -> AsyncIterator[AsyncApi]:
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        yield api


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The destination, next to the server's files."""
    return tmp_path / "out"


def put_runs(server: LocalServer, count: int, project: str = PROJECT) -> dict[str, bytes]:
    """Serve runs of three files each; return the expected files of a complete download."""
    contents = {}
    for number in range(count):
        for name in ("config.yaml", "media/table.json", "wandb-summary.json"):
            contents[f"run{number}/{name}"] = f"{name} of {number}".encode()
            server.add_file(f"{project}/run{number}", name, contents[f"run{number}/{name}"])
    return contents


def describe(server: LocalServer, run_id: str, **record: object) -> None:
    """Set attributes of a run on the server, as if wandb had logged it."""
    given = {"display_name": run_id, "created_at": "2026-01-01T00:00:00", "heartbeat_at": "2026-01-01T00:00:00"}
    server.add_run(f"{PROJECT}/{run_id}")
    server._records.change(RunPath("local", "vision", run_id), lambda _: RunRecord(**given | record))  # type: ignore[arg-type]


def written(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def count_requests(server: LocalServer) -> Counter[str]:
    """The requests to the server: operations of the API, and the store."""
    return Counter(request.operation or request.path.split("/")[1] for request in server.requests)


class TestListing:
    def test_naming_runs_sends_no_request(self, wandb_server: LocalServer) -> None:
        api = AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key)
        assert repr(api.runs(PROJECT)) == "<AsyncRuns of local/vision>"
        assert wandb_server.requests == ()

    async def test_runs_are_listed_page_by_page_with_their_attributes(
        self, api: AsyncApi, wandb_server: LocalServer
    ) -> None:
        for number, state in enumerate(("finished", "failed", "running")):
            describe(
                wandb_server,
                f"r{number}",
                display_name=f"Run {number}",
                state=state,
                created_at=f"2026-01-0{3 - number}",
            )
        runs = api.runs(PROJECT, per_page=2)
        assert [[run.id for run in page] async for page in runs.pages()] == [["r2", "r1"], ["r0"]]
        listed = await runs.to_list()
        assert [(run.name, run.state, run.created_at) for run in listed] == [
            ("Run 2", "running", "2026-01-01"),
            ("Run 1", "failed", "2026-01-02"),
            ("Run 0", "finished", "2026-01-03"),
        ]
        assert [run.path for run in listed] == [["local", "vision", run.id] for run in listed]
        assert listed[0] == api.run(f"{PROJECT}/r2")
        assert (await api.run(f"{PROJECT}/r2").refresh()).name == "Run 2"
        again = pickle.loads(pickle.dumps(listed[0]))
        assert (again, again.name, again.state) == (listed[0], "Run 2", "running")

    async def test_filters_and_order_are_passed_to_the_server(self, api: AsyncApi, wandb_server: LocalServer) -> None:
        for number, rate in enumerate((0.3, 0.1, 0.2)):
            describe(wandb_server, f"r{number}", config=json.dumps({"lr": {"value": rate}}))
        runs = api.runs(PROJECT, {"config.lr": {"$gte": 0.2}}, "-config.lr.value")
        assert [run.id async for run in runs] == ["r0", "r2"]
        assert await runs.count() == 2
        first = await runs.first()
        assert first is not None
        assert first.id == "r0"
        with pytest.raises(ApiError, match="near"):
            await api.runs(PROJECT, {"config.lr": {"$near": 0.2}}).to_list()

    async def test_project_and_entity_default_to_the_settings(self, wandb_server: LocalServer) -> None:
        put_runs(wandb_server, 2)
        async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key, project="vision") as api:
            assert [run.path async for run in api.runs()] == [["local", "vision", "run0"], ["local", "vision", "run1"]]
        assert count_requests(wandb_server) == {"Viewer": 1, "Runs": 1}

    async def test_empty_project_is_empty_and_a_missing_one_an_error(
        self, api: AsyncApi, wandb_server: LocalServer
    ) -> None:
        (wandb_server.root / PROJECT).mkdir(parents=True)
        assert await api.runs(PROJECT).to_list() == []
        assert await api.runs(PROJECT).first() is None
        missing = api.runs("local/missing")
        for work in (missing.to_list(), missing.first(), missing.count(), missing.download(wandb_server.root / "out")):
            error = await error_of(RunNotFoundError, work)
            assert error.run == "local/missing"

    @pytest.mark.parametrize(
        "arguments",
        [
            {"path": "a/b/c"},
            {"path": None},
            {"path": PROJECT, "per_page": 0},
            {"path": PROJECT, "filters": [1]},
            {"path": PROJECT, "filters": {"createdAt": object()}},
        ],
    )
    def test_invalid_arguments_are_refused_at_once(
        self, wandb_server: LocalServer, arguments: dict[str, object]
    ) -> None:
        api = AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key)
        with pytest.raises(ConfigurationError):
            api.runs(**arguments)  # type: ignore[arg-type]

    def test_blocking_runs_are_a_cached_sequence(self, wandb_server: LocalServer) -> None:
        put_runs(wandb_server, 7)
        with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
            runs = api.runs(PROJECT, order="+name", per_page=2)
            assert runs[2].id == "run2"
            assert [run.id for run in runs[1:3]] == ["run1", "run2"]
            assert count_requests(wandb_server)["Runs"] <= 3  # two, and possibly one prefetched
            assert len(runs) == 7
            assert [run.id for run in runs] == [f"run{n}" for n in range(7)]
            assert runs[-1].id == "run6"
            before = count_requests(wandb_server)
            assert len(list(runs)) == 7
            assert count_requests(wandb_server) == before
            assert runs[0].file("config.yaml").read_text() == "config.yaml of 0"


class TestDownload:
    async def test_project_is_written_with_a_folder_for_each_run(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        contents = put_runs(wandb_server, 25)
        results: list[FileResult] = []
        report = await api.runs(PROJECT, per_page=10).download(out, on_result=results.append)
        assert written(out) == contents
        assert (report.files, report.downloaded, report.verified, report.failed) == (75, 75, 75, 0)
        assert {f"{result.run.removeprefix(PROJECT + '/')}/{result.name}" for result in results} == contents.keys()

    async def test_one_request_lists_many_runs_and_a_repeat_contacts_no_store(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        contents = put_runs(wandb_server, 40)
        runs = api.runs(PROJECT, per_page=10)
        await runs.download(out, include=["*.json"])
        assert written(out) == {name: data for name, data in contents.items() if name.endswith(".json")}
        assert count_requests(wandb_server) == {"Runs": 4, "store": 80}
        wandb_server.clear_requests()
        report = await runs.download(out, include=["*.json"])
        assert (report.kept, report.verified) == (80, 80)
        assert count_requests(wandb_server) == {"Runs": 4}

    async def test_only_runs_with_many_files_are_listed_separately(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        contents = put_runs(wandb_server, 5)
        for number in range(30):
            contents[f"run3/many/{number:02}"] = b"%d" % number
            wandb_server.add_file(f"{PROJECT}/run3", f"many/{number:02}", b"%d" % number)
        await api.runs(PROJECT, per_page=100).download(out)  # ten files are listed with it
        assert written(out) == contents
        assert count_requests(wandb_server) == {"Runs": 1, "RunFiles": 1, "store": len(contents)}

    @pytest.mark.parametrize("include", [["config.yaml"], ["conf*"], ["[a-c]onfig.yaml"]])
    async def test_selection_is_passed_to_the_server(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path, include: list[str]
    ) -> None:
        for number in range(30):
            wandb_server.add_file(f"{PROJECT}/run0", f"a/{number:02}.bin", b"x")
        wandb_server.add_file(f"{PROJECT}/run0", "config.yaml", b"lr: 1")
        for download in (
            api.runs(PROJECT, per_page=100).download,
            api.run(f"{PROJECT}/run0").files(per_page=10).download,
        ):
            wandb_server.clear_requests()
            report = await download(out, include=include, dry_run=True)
            assert (report.planned, report.bytes) == (1, 5)
            assert len(wandb_server.requests) == 1

    @pytest.mark.parametrize(
        ("layout", "place"),
        [
            ("{run}", "run0/config.yaml"),
            ("{entity}/{project}/{run}", "local/vision/run0/config.yaml"),
            ("runs/{run}.d", "runs/run0.d/config.yaml"),
            ("", "config.yaml"),
        ],
    )
    async def test_layout_determines_the_folders(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path, layout: str, place: str
    ) -> None:
        put_runs(wandb_server, 1)
        await api.runs(PROJECT).download(out, layout=layout, include=["config.yaml"])
        assert written(out) == {place: b"config.yaml of 0"}

    @pytest.mark.parametrize("arguments", [{"layout": "{name}"}, {"include": "*"}, {"existing": "sometimes"}])
    async def test_invalid_argument_is_refused_before_any_request(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path, arguments: dict[str, object]
    ) -> None:
        await error_of(ConfigurationError, api.runs(PROJECT).download(out, **arguments))  # type: ignore[arg-type]
        await error_of(ConfigurationError, api.download(PROJECT, out, **arguments))  # type: ignore[arg-type]
        assert wandb_server.requests == ()

    async def test_unwritable_disk_is_reported_early(self, api: AsyncApi, wandb_server: LocalServer, out: Path) -> None:
        put_runs(wandb_server, 20)
        out.write_bytes(b"")
        await error_of(LocalWriteError, api.runs(PROJECT, per_page=2).download(out))
        assert len(wandb_server.requests) <= 2

    async def test_progress_distinguishes_files_of_the_same_name(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        put_runs(wandb_server, 2)
        progress = RecordedProgress()
        await api.runs(PROJECT).download(out, include=["config.yaml"], progress=progress)
        assert progress.finished_names == {"run0/config.yaml", "run1/config.yaml"}
        assert progress.arrived == {"run0/config.yaml": 16, "run1/config.yaml": 16}


class RecordedProgress:
    """Records progress calls."""

    def __init__(self) -> None:
        self.finished_names: set[str] = set()
        self.arrived: Counter[str] = Counter()

    def started(self, name: str, total: int | None) -> None:
        assert total == 16

    def advanced(self, name: str, count: int) -> None:
        self.arrived[name] += count

    def finished(self, name: str) -> None:
        self.finished_names.add(name)

    def failed(self, name: str, error: Exception) -> None:
        raise AssertionError(name)


class TestOneCallForAll:
    @pytest.mark.parametrize("path", [PROJECT, f"{PROJECT}/", f"{PROJECT}/runs", "vision/"])
    async def test_path_of_a_project(self, api: AsyncApi, wandb_server: LocalServer, out: Path, path: str) -> None:
        contents = put_runs(wandb_server, 3)
        await api.download(path, out)
        assert written(out) == contents

    @pytest.mark.parametrize("path", [f"{PROJECT}/run1", "vision/run1", "vision:run1"])
    async def test_path_of_a_run(self, api: AsyncApi, wandb_server: LocalServer, out: Path, path: str) -> None:
        contents = put_runs(wandb_server, 3)
        await api.download(path, out)
        assert written(out) == {name: data for name, data in contents.items() if name.startswith("run1/")}

    async def test_two_part_path_is_a_run_or_else_a_project(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        wandb_server.add_file("team/vision/run1", "a", b"of the project")
        await api.download("team/vision", out / "project")
        wandb_server.add_file("local/team/vision", "a", b"of the run")
        await api.download("team/vision", out / "run")
        await api.download("team/vision/", out / "marked")
        assert written(out) == {
            "project/run1/a": b"of the project",
            "run/vision/a": b"of the run",
            "marked/run1/a": b"of the project",
        }

    async def test_missing_two_part_path_is_reported_as_both(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        error = await error_of(RunNotFoundError, api.download("team/vision", out))
        assert "neither a run (project/run_id) nor a project (entity/project)" in str(error)
        assert error.run == "team/vision"

    async def test_runs_and_paths_of_several_projects_each_once(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        put_runs(wandb_server, 2)
        put_runs(wandb_server, 2, project="team/audio")
        given: list[str | AsyncRun] = [api.run("vision/run0"), "team/audio/run1", f"{PROJECT}/run0", "vision/run0"]
        report = await api.download(given, out, layout="{project}/{run}", include=["config.yaml"])
        assert written(out) == {
            "vision/run0/config.yaml": b"config.yaml of 0",
            "audio/run1/config.yaml": b"config.yaml of 1",
        }
        assert report.files == 2
        await api.download(api.run("vision/run1"), out / "one", include=["config.yaml"])
        assert written(out / "one") == {"run1/config.yaml": b"config.yaml of 1"}

    async def test_runs_given_by_their_paths_are_listed_fifty_at_a_time(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        contents = put_runs(wandb_server, 120)
        given = [f"{PROJECT}/run{number}" for number in range(120)]
        report = await api.download(given, out)
        assert {name: content for name, content in written(out).items() if name in contents} == contents
        assert (report.files, report.downloaded) == (360, 360)
        assert count_requests(wandb_server) == {"Runs": 3, "store": 360}

    @pytest.mark.parametrize("missing", [1, 10])
    async def test_missing_runs_are_looked_up_separately(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path, missing: int
    ) -> None:
        contents = put_runs(wandb_server, 10)
        absent = [f"{PROJECT}/absent{number}" for number in range(missing)]
        given = [f"{PROJECT}/run{number}" for number in range(10)] + absent
        report = await api.download(given, out, raise_on_error=False)
        assert written(out) == contents
        assert sorted((failure.run, type(failure.error)) for failure in report.failures) == sorted(
            (run, RunNotFoundError) for run in absent
        )
        for failure in report.failures:
            assert failure.run in str(failure.error)
        assert count_requests(wandb_server) == {"Runs": 1, "RunFiles": missing, "store": 30}

    async def test_alternating_projects_take_one_request_each(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        contents = put_runs(wandb_server, 5)
        put_runs(wandb_server, 5, project="team/audio")
        given = [f"{project}/run{number}" for number in range(5) for project in (PROJECT, "team/audio")]
        await api.download(given, out, layout="{project}/{run}")
        assert {name: content for name, content in written(out).items() if name.startswith("vision/")} == {
            f"vision/{name}": content for name, content in contents.items()
        }
        assert count_requests(wandb_server) == {"Runs": 2, "store": 30}

    async def test_all_runs_of_a_missing_project_are_reported(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        contents = put_runs(wandb_server, 2)
        given = ["team/nope/a", f"{PROJECT}/run0", "team/nope/b", f"{PROJECT}/run1"]
        report = await api.download(given, out, raise_on_error=False)
        assert written(out) == contents
        assert {(failure.run, type(failure.error)) for failure in report.failures} == {
            ("team/nope/a", RunNotFoundError),
            ("team/nope/b", RunNotFoundError),
        }

    async def test_selection_is_passed_to_the_server_for_named_runs(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        put_runs(wandb_server, 3)
        given = [f"{PROJECT}/run{number}" for number in range(3)]
        report = await api.download(given, out, include=["config.yaml"])
        assert report.files == 3
        assert written(out).keys() == {f"run{number}/config.yaml" for number in range(3)}

    async def test_missing_run_is_a_failure_and_others_continue(
        self, api: AsyncApi, wandb_server: LocalServer, out: Path
    ) -> None:
        contents = put_runs(wandb_server, 2)
        results: list[FileResult] = []
        given = [f"{PROJECT}/run0", f"{PROJECT}/missing", f"{PROJECT}/run1"]
        error = await error_of(
            IncompleteDownloadError, api.download(given, out, existing="keep", on_result=results.append)
        )
        assert written(out) == contents
        assert (error.report.files, error.report.downloaded, error.report.failed) == (7, 6, 1)
        (failure,) = error.report.failures
        assert (failure.name, failure.run, type(failure.error)) == ("", f"{PROJECT}/missing", RunNotFoundError)
        assert failure in results
        assert f"{PROJECT}/missing" in str(error)

    async def test_failure_message_names_the_run(self, api: AsyncApi, wandb_server: LocalServer, out: Path) -> None:
        put_runs(wandb_server, 2)
        (out / "run1" / "config.yaml").mkdir(parents=True)
        error = await error_of(IncompleteDownloadError, api.runs(PROJECT).download(out))
        assert [(failure.run, failure.name) for failure in error.report.failures] == [
            (f"{PROJECT}/run1", "config.yaml")
        ]
        assert f"{PROJECT}/run1" in str(error)

    async def test_refused_credentials_are_reported_once(self, wandb_server: LocalServer, out: Path) -> None:
        async with AsyncApi(base_url=wandb_server.base_url, api_key="wrong" * 8) as api:
            await error_of(AuthenticationError, api.download([f"{PROJECT}/run{n}" for n in range(50)], out))
        assert len(wandb_server.requests) < 10

    def test_blocking_form_accepts_blocking_objects(self, wandb_server: LocalServer, out: Path) -> None:
        contents = put_runs(wandb_server, 3)
        with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
            runs = api.runs(PROJECT)
            api.download(runs, out / "runs")
            api.download([runs[0], "vision/run1"], out / "some")
            api.download(runs[2], out / "some")
            runs.download(out / "own")
            api.download(PROJECT, out / "path")
        for folder in ("runs", "some", "own", "path"):
            assert written(out / folder) == contents


def test_wandb_sees_the_same_runs(wandb_server: LocalServer, home: Path) -> None:
    """Compares LocalServer with the real ``wandb.Api().runs``: each query is sent by both."""
    for number in range(5):
        describe(
            wandb_server,
            f"r{number}",
            display_name=f"Run {number}",
            state="failed" if number % 2 else "finished",
            config=json.dumps({"lr": {"value": number / 10}}),
            summary=json.dumps({"loss": -number}),
            tags=[f"tag{number % 3}"],
            created_at=f"2026-01-0{9 - number}T00:00:00",
        )
    wandb_server.add_run(f"{PROJECT.partition('/')[0]}/another/r0")
    questions: list[tuple[dict[str, object] | None, str]] = [
        (None, "+created_at"),
        ({}, "-created_at"),
        ({"state": "finished"}, "-summary_metrics.loss"),
        ({"display_name": {"$regex": "[13]$"}}, "+created_at"),
        ({"config.lr": {"$gt": 0.05, "$lte": 0.3}}, "-config.lr.value"),
        ({"$or": [{"tags": "tag2"}, {"name": {"$in": ["r0"]}}]}, "+created_at"),
        ({"$nor": [{"tags": {"$in": ["tag0", "tag1"]}}]}, "+created_at"),
        ({"createdAt": {"$gte": "2026-01-07T00:00:00"}}, "+created_at"),
        ({"name": "missing"}, "+created_at"),
        ({"name": {"$in": ["r4", "missing", "r1", "r3"]}}, "+created_at"),
        ({"name": {"$in": []}}, "+created_at"),
    ]
    script = Path(__file__).parent.parent / "scripts" / "wandb_lists_runs.py"
    child = subprocess.run(
        [sys.executable, str(script), PROJECT, json.dumps(questions)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "WANDB_BASE_URL": wandb_server.base_url,
            "WANDB_API_KEY": wandb_server.api_key,
            "WANDB_SILENT": "true",
        },
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert child.returncode == 0, child.stderr
    seen = json.loads(child.stdout)
    with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        for question, answer in zip(questions, seen["answers"], strict=True):
            runs = api.runs(PROJECT, *question, per_page=2)
            assert [[run.id, run.name, run.state, run.created_at] for run in runs] == answer["runs"], question
            assert len(api.runs(PROJECT, *question)) == answer["count"], question
        projects = api.projects(PROJECT.partition("/")[0], per_page=1)
        assert [
            [each.name, each.entity, each.path, each.id, each.created_at, each.is_benchmark] for each in projects
        ] == seen["projects"]
    assert {name for name, *_ in seen["projects"]} == {PROJECT.partition("/")[2], "another"}
    assert any(answer["count"] not in (0, 5) for answer in seen["answers"])
    assert seen["missing"] == "ValueError"
