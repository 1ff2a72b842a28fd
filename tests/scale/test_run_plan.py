"""Plans run in this process and by executors: completely, once, within the budget, with reported failures."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from shared_project import PROJECT, Project, tree
from shared_project import project as project
from soak.cluster import MeasuringServer

from wbfiles_async import Api, DownloadReport, TransferOptions, errors
from wbfiles_async._scale.worker import ChunkTask, run_chunk
from wbfiles_async.scale import Chunk, Plan, run_plan
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._thread import Service

SPAWN = get_context("spawn")


def plan_of(project: Project, tmp_path: Path, **arguments: object) -> Plan:
    arguments.setdefault("runs_per_chunk", 3)
    return Plan.make(project.api, PROJECT, at=tmp_path / "plan", **arguments)  # type: ignore[arg-type]


def manifests(tmp_path: Path) -> list[str]:
    return sorted(path.name.split("-", 2)[2] for path in (tmp_path / "plan").glob("part-*"))


@pytest.fixture(params=["here", "threads", "processes"])
def on(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    """Each kind of worker that only needs Python."""
    match request.param:
        case "here":
            yield None
        case "threads":
            with ThreadPoolExecutor(3) as threads:
                yield threads
        case _:
            with ProcessPoolExecutor(2, SPAWN) as processes:
                yield processes


def test_all_files_arrive_once(project: Project, tmp_path: Path, on: Executor | None) -> None:
    project.add(10)
    plan = plan_of(project, tmp_path)
    report = run_plan(plan, tmp_path / "root", on=on)
    assert tree(tmp_path / "root") == project.files
    assert (report.chunks, report.chunks_done, report.chunks_before, report.chunks_left) == (4, 4, 0, 0)
    assert (report.files, report.downloaded, report.verified, report.failed) == (20, 20, 20, 0)
    assert report.bytes == sum(map(len, project.files.values()))
    assert project.store_requests() == 20
    assert manifests(tmp_path) == [f"{number:05}.jsonl" for number in range(4)]
    assert str(report).startswith("4 of 4 chunks, 20 files, ")
    assert not plan.left()


def test_finished_chunks_are_not_repeated(project: Project, tmp_path: Path, on: Executor | None) -> None:
    project.add(6)
    run_plan(plan_of(project, tmp_path), tmp_path / "root", on=on)
    project.server.clear_requests()
    report = run_plan(tmp_path / "plan", tmp_path / "root", on=on)
    assert not project.server.requests
    assert (report.chunks_done, report.chunks_before, report.files) == (0, 2, 0)
    assert str(report) == "0 of 2 chunks, 2 done before"


def test_chunk_without_a_manifest_is_repeated(project: Project, tmp_path: Path) -> None:
    project.add(6)
    plan = plan_of(project, tmp_path)
    run_plan(plan, tmp_path / "root")
    next((tmp_path / "plan").glob("part-*-00001.jsonl")).unlink()
    project.server.clear_requests()
    report = run_plan(plan, tmp_path / "root")
    assert (report.chunks_done, report.chunks_before, report.kept, report.downloaded) == (1, 1, 6, 0)
    assert project.store_requests() == 0


def test_files_are_selected_and_laid_out(project: Project, tmp_path: Path) -> None:
    project.add(4)
    project.add_file("run0001", "config.yaml", b"a: 1")
    plan = plan_of(project, tmp_path, include=["*.yaml", "media/0*"], exclude=["media/*"])
    report = run_plan(plan, tmp_path / "root", layout="{entity}/{project}-{run}")
    assert tree(tmp_path / "root") == {"team/project-run0001/config.yaml": b"a: 1"}
    assert report.files == 1


def test_huge_run_is_downloaded_in_slices(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.add(1, files=25)
    project.add_file("small", "a.txt", b"a")
    plan = plan_of(project, tmp_path)
    huge = attrs.evolve(plan, chunks=tuple(_divided(plan)))
    (tmp_path / "plan" / "plan.json").write_bytes(huge._encode())
    report = run_plan(huge, tmp_path / "root")
    assert tree(tmp_path / "root") == project.files
    assert report.files == report.downloaded == 26
    assert project.store_requests() == 26


def _divided(plan: Plan) -> list[Chunk]:
    from wbfiles_async._scale.chunks import divide

    return divide([("run0000", 25), ("small", 1)], runs_per_chunk=3, files_per_chunk=10)


def test_empty_plan_does_nothing(project: Project, tmp_path: Path) -> None:
    project.server.add_run(f"{PROJECT}/empty")
    plan = plan_of(project, tmp_path, include=[])
    report = run_plan(plan, tmp_path / "root")
    assert (report.chunks, report.files, str(report)) == (0, 0, "No runs.")


def test_report_command_reads_the_manifests(project: Project, tmp_path: Path) -> None:
    from wbfiles_async._download.manifest import read_manifest

    project.add(6)
    plan = plan_of(project, tmp_path)
    run_plan(plan, tmp_path / "root")
    rows = [row for manifest in plan.manifests() for row in read_manifest(Path(manifest))]
    assert {f"{row.run.rpartition('/')[2]}/{row.name}": row.size for row in rows} == {
        name: len(data) for name, data in project.files.items()
    }
    assert all(row.verified and row.status == "downloaded" for row in rows)


def test_manifests_may_be_parquet(project: Project, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    project.add(6)
    plan = plan_of(project, tmp_path, report_format="parquet")
    report = run_plan(plan, tmp_path / "root")
    assert report.chunks_done == 2
    assert sum(parquet.read_table(manifest).num_rows for manifest in plan.manifests()) == 12
    assert run_plan(plan, tmp_path / "root").chunks_before == 2


def test_worker_death_after_the_manifest_costs_nothing(project: Project, tmp_path: Path) -> None:
    project.add(3)
    plan = plan_of(project, tmp_path)
    task = _task(plan, tmp_path)
    first = run_chunk(task)
    project.server.clear_requests()
    second = run_chunk(task)
    assert not project.server.requests
    assert second.report.files == first.report.files == 6
    assert (second.report.downloaded, second.report.bytes) == (first.report.downloaded, first.report.bytes)


def _task(plan: Plan, tmp_path: Path) -> ChunkTask:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    return ChunkTask(
        plan=attrs.evolve(plan, chunks=()),
        chunk=plan.chunks[0],
        destination=str(root),
        layout="{run}",
        existing="verify",
        options=TransferOptions(attempts=1),
    )


def test_task_holds_no_secret(project: Project, tmp_path: Path) -> None:
    project.add(1)
    pickled = pickle.dumps(_task(plan_of(project, tmp_path), tmp_path))
    assert project.server.api_key.encode() not in pickled
    assert project.server.store_url.encode() not in pickled


def test_errors_leave_the_worker_without_their_cause(failing: Project, tmp_path: Path) -> None:
    plan = plan_of(failing, tmp_path)
    task = _task(plan, tmp_path)
    (failure,) = run_chunk(task).report.failures
    refused = run_chunk(attrs.evolve(task, plan=attrs.evolve(plan, at=str(tmp_path / "elsewhere")))).error
    for error in (failure.error, refused):
        assert error is not None
        assert str(error)
        assert (error.__cause__, error.__context__, error.__traceback__) == (None, None, None)


class FailingServer(LocalServer):
    """A server whose store fails for files of some names until it is repaired."""

    broken = True
    answered = 0

    def _services(self) -> tuple[Service, Service]:
        api, store = super()._services()

        @web.middleware
        async def fail(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.broken and request.path.endswith("broken.txt"):
                self.answered += 1
                return web.Response(status=403)
            return await handler(request)

        store.app.middlewares.append(fail)
        return api, store


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    with FailingServer(tmp_path / "served") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.base_url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        with Api() as api:
            made = Project(server, api)
            made.add(4)
            made.add_file("run0001", "broken.txt", b"here at last")
            yield made


def test_failed_chunk_is_reported_and_left(failing: Project, tmp_path: Path) -> None:
    plan = plan_of(failing, tmp_path)
    with pytest.raises(errors.IncompleteDownloadError, match=r"1 of 9 files.*broken\.txt") as caught:
        run_plan(plan, tmp_path / "root", retries=1, options=TransferOptions(attempts=1))
    report = caught.value.report
    assert (report.failed, report.downloaded, report.kept) == (1, 8, 0)
    assert [failure.name for failure in report.failures] == ["broken.txt"]
    assert manifests(tmp_path) == ["00000.incomplete.jsonl", "00001.jsonl"]
    assert [chunk.number for chunk in plan.left()] == [0]
    assert isinstance(failing.server, FailingServer)
    failing.server.broken = False
    again = run_plan(plan, tmp_path / "root")
    assert (again.downloaded, again.kept, again.chunks_done, again.chunks_before) == (1, 6, 1, 1)
    assert manifests(tmp_path) == ["00000.jsonl", "00001.jsonl"]
    assert tree(tmp_path / "root") == failing.files


def test_chunk_is_retried_as_configured(failing: Project, tmp_path: Path) -> None:
    attempts: list[int] = []
    for retries in (0, 2):
        assert isinstance(failing.server, FailingServer)
        failing.server.answered = 0
        report = run_plan(
            plan_of(failing, tmp_path),
            tmp_path / "root",
            retries=retries,
            raise_on_error=False,
            options=TransferOptions(attempts=1),
        )
        assert report.failed == 1
        attempts.append(failing.server.answered)
    assert attempts[1] == 3 * attempts[0]


def test_deleted_runs_are_not_retried(project: Project, tmp_path: Path) -> None:
    project.add(2)
    plan = plan_of(project, tmp_path)
    plan = attrs.evolve(plan, chunks=(Chunk(0, (*plan.chunks[0].runs, "gone"), 4),))
    (tmp_path / "plan" / "plan.json").write_bytes(plan._encode())
    ended: list[tuple[int, int]] = []

    def note(chunk: Chunk, report: DownloadReport) -> None:
        ended.append((chunk.number, report.failed))

    project.server.clear_requests()
    report = run_plan(plan, tmp_path / "root", raise_on_error=False, on_chunk=note)
    assert ended == [(0, 1)]
    assert [type(failure.error) for failure in report.failures] == [errors.RunNotFoundError]
    assert (report.downloaded, report.kept) == (4, 0)  # one attempt


def test_existing_files_fail_but_not_those_of_an_earlier_attempt(failing: Project, tmp_path: Path) -> None:
    report = run_plan(
        plan_of(failing, tmp_path),
        tmp_path / "root",
        existing="error",
        retries=1,
        raise_on_error=False,
        options=TransferOptions(attempts=1),
    )
    assert [failure.name for failure in report.failures] == ["broken.txt"]
    (tmp_path / "plan2").mkdir()
    other = Plan.make(failing.api, PROJECT, at=tmp_path / "plan2", include=["media/*"])
    report = run_plan(other, tmp_path / "root", existing="error", retries=0, raise_on_error=False)
    assert {type(failure.error) for failure in report.failures} == {errors.DestinationExistsError}


@contextmanager
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    server = MeasuringServer(tmp_path / "served")
    with server:
        monkeypatch.setenv("WANDB_BASE_URL", server.base_url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        with Api() as api:
            yield Project(server, api)


def test_workers_share_the_connection_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with counting(tmp_path, monkeypatch) as project, ProcessPoolExecutor(3, SPAWN) as pool:
        project.add(24, files=8, size=40_000)
        assert isinstance(project.server, MeasuringServer)
        report = run_plan(plan_of(project, tmp_path), tmp_path / "root", on=pool, connections=5)
        assert report.downloaded == 192
        assert 1 < project.server.most <= 5


def test_workers_share_the_request_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with counting(tmp_path, monkeypatch) as project, ThreadPoolExecutor(3) as pool:
        project.add(24)
        plan = plan_of(project, tmp_path)
        assert isinstance(project.server, MeasuringServer)
        project.server.queries.clear()
        run_plan(plan, tmp_path / "root", on=pool, api_requests=10)
        queries = project.server.queries
        assert len(queries) >= 8
        # Each of eight clients may send a burst of a quarter of a second.
        assert len(queries) <= 10 * (queries[-1] - queries[0]) + 8


def test_workers_share_the_rate_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with counting(tmp_path, monkeypatch) as project, ThreadPoolExecutor(2) as pool:
        project.add(6, files=2, size=1_000_000)
        size, rate = sum(map(len, project.files.values())), 4_000_000
        report = run_plan(plan_of(project, tmp_path, runs_per_chunk=1), tmp_path / "root", on=pool, limit_rate=rate)
        assert report.bytes == size
        # Each of six chunks may receive a burst of a quarter of a second.
        assert report.seconds >= (size - 6 * rate / 2 * 0.25) / rate


@attrs.frozen
class Marker:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)


def test_broken_executor_is_reported(project: Project, tmp_path: Path) -> None:
    project.add(6)
    plan = plan_of(project, tmp_path)
    with ProcessPoolExecutor(1, SPAWN) as pool:
        crashing = pool.submit(print, Marker())
        with pytest.raises(errors.IncompleteDownloadError, match="Call again with a new one") as caught:
            run_plan(plan, tmp_path / "root", on=pool)
        assert crashing.exception() is not None
    assert isinstance(caught.value.report.stopped, errors.TransferError)
    assert run_plan(plan, tmp_path / "root").chunks_left == 0
    assert tree(tmp_path / "root") == project.files


def test_shut_down_executor_is_reported(project: Project, tmp_path: Path) -> None:
    project.add(3)
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(errors.IncompleteDownloadError, match="takes no more work"):
        run_plan(plan_of(project, tmp_path), tmp_path / "root", on=pool)


def test_interruption_leaves_the_rest_for_the_next_call(project: Project, tmp_path: Path) -> None:
    project.add(9)
    plan = plan_of(project, tmp_path)

    def interrupt(chunk: Chunk, report: DownloadReport) -> None:
        if chunk.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, tmp_path / "root", on_chunk=interrupt)
    assert [chunk.number for chunk in plan.left()] == [2]
    assert run_plan(plan, tmp_path / "root").chunks_before == 2
    assert tree(tmp_path / "root") == project.files


def test_workers_without_a_shared_folder_are_reported(project: Project, tmp_path: Path) -> None:
    project.add(1)
    plan = plan_of(project, tmp_path)
    elsewhere = attrs.evolve(plan, at=str(tmp_path / "elsewhere"))
    result = run_chunk(_task(elsewhere, tmp_path))
    assert isinstance(result.error, errors.ConfigurationError)
    assert "a place in an object store" in str(result.error)
    task = attrs.evolve(_task(plan, tmp_path), destination=str(tmp_path / "missing"))
    assert "does not exist on the worker" in str(run_chunk(task).error)
    assert not (tmp_path / "missing").exists()


def test_key_is_never_sent_to_a_server_from_a_plan(project: Project, tmp_path: Path) -> None:
    project.add(1)
    plan = plan_of(project, tmp_path)
    with LocalServer(tmp_path / "other") as other:
        written = attrs.evolve(plan, base_url=other.base_url)
        (tmp_path / "plan" / "plan.json").write_bytes(written._encode())
        with pytest.raises(errors.ConfigurationError, match="set WANDB_BASE_URL there"):
            run_plan(tmp_path / "plan", tmp_path / "root")
        assert not other.requests


def test_client_with_its_own_settings_is_accepted(tmp_path: Path) -> None:
    with LocalServer(tmp_path / "served") as server, Api(base_url=server.base_url, api_key=server.api_key) as api:
        server.add_file(f"{PROJECT}/run", "a.txt", b"a")
        plan = Plan.make(api, PROJECT, at=tmp_path / "plan")
        assert run_plan(plan, tmp_path / "root", api=api).downloaded == 1
        with ThreadPoolExecutor(1) as pool, pytest.raises(errors.ConfigurationError, match="leave out api or on"):
            run_plan(plan, tmp_path / "root", api=api, on=pool)


def test_refused_credentials_stop_everything(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.add(9)
    plan = plan_of(project, tmp_path)
    with Api(api_key="f" * 40) as api:
        project.server.clear_requests()
        with pytest.raises(errors.AuthenticationError):
            run_plan(plan, tmp_path / "root", api=api)
    assert len(project.server.requests) == 1


def test_unusable_arguments_are_reported(project: Project, tmp_path: Path) -> None:
    project.add(1)
    plan, root = plan_of(project, tmp_path), tmp_path / "root"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"layout": ""}, r"\{run\} must be in it"),
        ({"layout": "{project}"}, r"\{run\} must be in it"),
        ({"retries": -1}, "retries is a whole number of 0 or more"),
        ({"on": 5}, "None for this process, not 5"),
        ({"workers": 0, "on": ThreadPoolExecutor(1)}, "workers is a whole number of 1 or more"),
        ({"connections": 0}, "connections must be a whole number"),
        ({"api_requests": 0}, "api_requests must be a number above 0"),
        ({"limit_rate": -5}, "limit_rate must be a whole number"),
        ({"existing": "maybe"}, "existing"),
    ]
    for arguments, message in wrong:
        with pytest.raises(errors.ConfigurationError, match=message):
            run_plan(plan, root, **arguments)
    with pytest.raises(errors.ConfigurationError, match="memory of one process"):
        run_plan(plan, "memory://data")
    with pytest.raises(errors.ConfigurationError, match="There is no plan"):
        run_plan(tmp_path / "nothing", root)
    assert not root.exists() or not any(root.iterdir())


def test_unusable_destination_is_reported(project: Project, tmp_path: Path) -> None:
    project.add(1)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.LocalWriteError, match="cannot be made"):
        run_plan(plan_of(project, tmp_path), tmp_path / "file" / "root")


def test_relative_destination_is_resolved_by_the_caller(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add(2)
    monkeypatch.chdir(tmp_path)
    with ProcessPoolExecutor(1, SPAWN, initializer=os.chdir, initargs=("/",)) as pool:
        plan = Plan.make(project.api, PROJECT, at="plan")
        run_plan(plan, "root", on=pool)
    assert tree(tmp_path / "root") == project.files


def test_concurrent_plans_share_a_client(project: Project, tmp_path: Path) -> None:
    from wbfiles_async._scale import worker

    project.add(6)
    before = len(worker._clients)
    with ThreadPoolExecutor(4) as pool:
        run_plan(plan_of(project, tmp_path, runs_per_chunk=1), tmp_path / "root", on=pool)
    assert len(worker._clients) == before + 1
    assert threading.active_count() < 40
