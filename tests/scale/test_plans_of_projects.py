"""Plans are written once, reopened, and contain neither keys nor URLs of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from s3 import S3, needs_s3
from s3 import s3 as s3
from s3 import s3_origin as s3_origin
from shared_project import PROJECT, Project
from shared_project import project as project

from wbfiles_async import AsyncApi, errors
from wbfiles_async._graphql.shares import HUGE_FILES, Share
from wbfiles_async._scale.chunks import divide
from wbfiles_async.scale import Chunk, Plan


def test_plan_lists_each_run_once(project: Project, tmp_path: Path) -> None:
    project.add(7)
    plan = Plan.make(project.api, PROJECT, at=tmp_path / "plan", runs_per_chunk=3)
    assert plan.chunks == (
        Chunk(0, ("run0000", "run0001", "run0002"), 6),
        Chunk(1, ("run0003", "run0004", "run0005"), 6),
        Chunk(2, ("run0006",), 2),
    )
    assert (plan.project, plan.runs, plan.files) == (PROJECT, 7, 14)
    assert str(plan) == f"7 runs of {PROJECT} in 3 chunks, 14 files, in {tmp_path / 'plan'}"
    assert "7" in plan._repr_html_()


def test_plan_is_reopened(project: Project, tmp_path: Path) -> None:
    project.add(5)
    made = Plan.make(project.api, PROJECT, at=tmp_path, include=["media/"], exclude=["*.bin"], filters={"state": "x"})
    assert Plan.read(tmp_path) == made
    assert Plan.read(str(tmp_path)) == made


def test_thousand_runs_take_one_request(project: Project, tmp_path: Path) -> None:
    project.add(30)
    project.server.clear_requests()
    Plan.make(project.api, PROJECT, at=tmp_path)
    assert len(project.server.requests) == 1


def test_same_plan_is_not_made_twice(project: Project, tmp_path: Path) -> None:
    project.add(5)
    made = Plan.make(project.api, PROJECT, at=tmp_path)
    project.add_file("another", "a.txt", b"a")
    project.server.clear_requests()
    assert Plan.make(project.api, PROJECT, at=tmp_path) == made
    assert not project.server.requests
    again = Plan.make(project.api, PROJECT, at=tmp_path, again=True)
    assert (again.runs, made.runs) == (6, 5)
    assert again.id != made.id


def test_another_plan_is_not_overwritten(project: Project, tmp_path: Path) -> None:
    project.add(5)
    Plan.make(project.api, PROJECT, at=tmp_path)
    with pytest.raises(errors.ConfigurationError, match=r"include=None and not \('\*.json',\).*again=True"):
        Plan.make(project.api, PROJECT, at=tmp_path, include=["*.json"])
    assert Plan.make(project.api, PROJECT, at=tmp_path, include=["*.json"], again=True).include == ("*.json",)


async def test_plan_is_made_by_an_async_client(project: Project, tmp_path: Path) -> None:
    project.add(3)
    async with AsyncApi() as api:
        plan = await Plan.amake(api, PROJECT, at=tmp_path)
    assert plan == Plan.read(tmp_path)


def test_empty_selection_has_no_chunks(project: Project, tmp_path: Path) -> None:
    project.add(3)
    assert Plan.make(project.api, PROJECT, at=tmp_path, include=[]).chunks == ()


def test_huge_run_is_divided() -> None:
    huge = 3 * HUGE_FILES
    assert divide([("small", 3), ("huge", huge)], runs_per_chunk=200) == [
        Chunk(0, ("huge",), HUGE_FILES, Share(0, 3)),
        Chunk(1, ("huge",), HUGE_FILES, Share(1, 3)),
        Chunk(2, ("huge",), HUGE_FILES, Share(2, 3)),
        Chunk(3, ("small",), 3),
    ]


def test_plan_of_huge_runs_is_reopened(tmp_path: Path) -> None:
    chunks = tuple(divide([("huge", 2 * HUGE_FILES), ("small", 3)], runs_per_chunk=200))
    plan = Plan(at=str(tmp_path), id="0123abcd", base_url="https://w.example", project=PROJECT, chunks=chunks)
    (tmp_path / "plan.json").write_bytes(plan._encode())
    assert Plan.read(tmp_path) == plan
    assert (plan.runs, plan.files) == (2, 2 * HUGE_FILES + 3)


def test_plan_contains_no_key_or_file_url(project: Project, tmp_path: Path) -> None:
    project.add(3)
    Plan.make(project.api, PROJECT, at=tmp_path)
    written = json.loads((tmp_path / "plan.json").read_text())
    assert set(written) == {
        *("version", "id", "base_url", "project", "filters", "include", "exclude", "runs_per_chunk", "report_format"),
        "chunks",
    }
    text = (tmp_path / "plan.json").read_text()
    assert project.server.api_key not in text
    assert project.server.store_url not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no plan"),
        (b"[]", "is no plan"),
        (b"\xff", "is no plan"),
        (b'{"version": 2}', "version 2"),
        (b'{"version": 1, "id": 5}', "is no plan"),
        (b'{"version": 1, "id": "a", "base_url": "b", "project": "c", "filters": "{}"}', "is no plan"),
    ],
)
def test_invalid_plan_is_reported(content: bytes, message: str, project: Project, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match=message):
        Plan.read(tmp_path)
    with pytest.raises(errors.ConfigurationError, match="again=True"):
        Plan.make(project.api, PROJECT, at=tmp_path)


def test_missing_plan_is_reported(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(errors.ConfigurationError, match="There is no plan in"):
            Plan.read(folder)


def test_unusable_arguments_are_reported(project: Project, tmp_path: Path) -> None:
    for wrong in (0, -1, True, 2.5, "3"):
        with pytest.raises(errors.ConfigurationError, match="runs_per_chunk is a whole number of 1 or more"):
            Plan.make(project.api, PROJECT, at=tmp_path, runs_per_chunk=wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.ConfigurationError, match="'jsonl' or 'parquet', not 'csv'"):
        Plan.make(project.api, PROJECT, at=tmp_path, report_format="csv")  # type: ignore[arg-type]
    with pytest.raises(errors.ConfigurationError, match="memory of one process"):
        Plan.make(project.api, PROJECT, at="memory://plan")
    with pytest.raises(errors.ConfigurationError, match="at is a folder or a URL"):
        Plan.make(project.api, PROJECT, at=5)  # type: ignore[arg-type]
    with pytest.raises(errors.RunNotFoundError):
        Plan.make(project.api, "team/missing", at=tmp_path)
    assert not list(tmp_path.glob("plan.json"))


def test_unwritable_folder_is_reported(project: Project, tmp_path: Path) -> None:
    project.add(1)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.LocalWriteError, match="cannot be written"):
        Plan.make(project.api, PROJECT, at=tmp_path / "file")
    with pytest.raises(errors.LocalWriteError, match="cannot be written"):
        Plan.make(project.api, PROJECT, at=tmp_path / "file" / "below")


@needs_s3
def test_plan_in_a_bucket(project: Project, s3: S3) -> None:
    project.add(5)
    made = Plan.make(project.api, PROJECT, at=s3.url("plans/mine"))
    assert Plan.read(s3.url("plans/mine")) == made
    assert [*s3.objects()] == ["plans/mine/plan.json"]
    assert len(made.left()) == 1
    with pytest.raises(errors.ConfigurationError, match="There is no plan"):
        Plan.read(s3.url("plans"))


@needs_s3
def test_bucket_failure_is_reported(project: Project, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    project.add(1)
    with pytest.raises(errors.ObjectStoreError, match="missing-bucket"):
        Plan.make(project.api, PROJECT, at="s3://missing-bucket/plan")
