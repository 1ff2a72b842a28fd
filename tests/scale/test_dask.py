"""Plans run by a Dask cluster of real processes, some of which are killed."""

from __future__ import annotations

import importlib
import importlib.util
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from s3 import S3, needs_s3
from s3 import s3 as s3
from s3 import s3_origin as s3_origin
from shared_project import PROJECT, Project, tree
from shared_project import project as project
from soak.cluster import Killer, processes

from wbfiles_async import DownloadReport, errors
from wbfiles_async._scale.progress import ClusterTally
from wbfiles_async._scale.worker import Event
from wbfiles_async.scale import Chunk, Plan, run_plan

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed"),
    pytest.mark.filterwarnings("ignore"),  # of processes that are killed, and of Dask's own loops
    pytest.mark.timeout(300),
]


@pytest.fixture
def distributed() -> Any:
    """Imports distributed, which changes how errors are pickled; see the fixture ``reducers``."""
    return importlib.import_module("distributed")


def test_workers_may_be_killed_at_any_moment(project: Project, tmp_path: Path) -> None:
    project.add(120, files=3)
    plan = Plan.make(project.api, PROJECT, at=tmp_path / "plan", runs_per_chunk=5)
    done: list[int] = []

    def note(chunk: Chunk, report: DownloadReport) -> None:
        done.append(chunk.number)

    with processes(3) as client:
        killer = Killer(client, kills=3, chance=random.Random(7))
        with killer.working(longest=0.6):
            report = run_plan(plan, tmp_path / "root", on=client, connections=12, on_chunk=note)
        assert tree(tmp_path / "root") == project.files
        assert sorted(done) == list(range(24))
        assert (report.chunks_done, report.chunks_left, report.failed) == (24, 0, 0)
        # Only a chunk whose worker died is listed once more.
        counts = Counter(request.path for request in project.server.requests if request.path.startswith("/store/"))
        twice = {path.split("/")[4] for path, count in counts.items() if count > 1}
        assert len({int(run.removeprefix("run")) // 5 for run in twice}) <= len(killer.killed)
        project.server.clear_requests()
        again = run_plan(plan, tmp_path / "root", on=client)
        assert again.chunks_before == 24
        assert not project.server.requests


@needs_s3
def test_project_is_downloaded_into_a_bucket(project: Project, s3: S3, tmp_path: Path) -> None:
    project.add(30)
    plan = Plan.make(project.api, PROJECT, at=s3.url("plan"), runs_per_chunk=5)
    with processes(2) as client:
        report = run_plan(plan, s3.url("data"), on=client, layout="{project}/{run}", connections=8)
        assert (report.downloaded, report.verified, report.chunks_done) == (60, 60, 6)
        data = {key: value for key, value in s3.objects().items() if key.startswith("data/")}
        assert data == {f"data/project/{name}": content for name, content in project.files.items()}
        project.server.clear_requests()
        assert run_plan(s3.url("plan"), s3.url("data"), on=client).chunks_before == 6
        assert not project.server.requests


def test_dashboard_sees_chunks_and_events_and_no_secret(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distributed: Any
) -> None:
    from wbfiles_async._scale import worker

    reported: list[Event] = []
    monkeypatch.setattr(worker, "EVENT_SECONDS", 0.0)
    monkeypatch.setattr(ClusterTally, "record", lambda _, event: reported.append(event))
    project.add(6, files=3)
    plan = Plan.make(project.api, PROJECT, at=tmp_path / "plan", runs_per_chunk=2)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0", processes=False) as made,
        distributed.Client(made) as client,
    ):
        run_plan(plan, tmp_path / "root", on=client, progress=True, on_chunk=lambda *_: _wait_for(lambda: reported))
        assert {event.number for event in reported} <= {0, 1, 2}
        _wait_for(lambda: len(client.get_events(worker.topic_of(plan.id)) or ()) >= 6)
        events = client.get_events(worker.topic_of(plan.id))
        assert {event["number"] for _, event in events} == {0, 1, 2}
        log = client.run_on_scheduler(lambda dask_scheduler: str(list(dask_scheduler.transition_log)))
        assert "wbfiles-chunk-00002" in log
        assert distributed.utils.key_split("wbfiles-chunk-00002-0-0123abcd-0011") == "wbfiles-chunk"
        for text in (log, str(events)):
            assert project.server.api_key not in text
            assert project.server.store_url not in text


def test_late_workers_take_part(project: Project, tmp_path: Path, distributed: Any) -> None:
    project.add(40)
    plan = Plan.make(project.api, PROJECT, at=tmp_path / "plan", runs_per_chunk=4)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", processes=False) as made,
        distributed.Client(made) as client,
    ):
        later = threading.Timer(0.5, made.scale, (2,))
        later.start()
        try:
            report = run_plan(plan, tmp_path / "root", on=client, connections=8)
        finally:
            later.join()
    assert report.chunks_done == 10
    assert tree(tmp_path / "root") == project.files


def test_worker_without_credentials_is_reported(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add(4)
    plan = Plan.make(project.api, PROJECT, at=tmp_path / "plan", runs_per_chunk=2)
    monkeypatch.delenv("WANDB_API_KEY")
    with processes(1) as client, pytest.raises(errors.AuthenticationError, match="WANDB_API_KEY"):
        run_plan(plan, tmp_path / "root", on=client)


def test_client_for_async_code_is_refused(project: Project, tmp_path: Path) -> None:
    class Asynchronous:
        asynchronous = True

        def scheduler_info(self) -> None: ...

    project.add(1)
    plan = Plan.make(project.api, PROJECT, at=tmp_path / "plan")
    with pytest.raises(errors.ConfigurationError, match="without asynchronous=True"):
        run_plan(plan, tmp_path / "root", on=Asynchronous())  # type: ignore[arg-type]


def _wait_for(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
