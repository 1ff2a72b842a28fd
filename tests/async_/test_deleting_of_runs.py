"""Deleting files of many runs: exactly the selection, in verified batches."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project_api import PROJECT, Mutation, ProjectApi, Reply, data, deletes, error, lost
from scripted_server import SkippingClock, clients_use, error_of
from scripted_server import waits as waits

from wbfiles_async import (
    Api,
    ApiError,
    AsyncApi,
    ConfigurationError,
    DeletionReport,
    FileResult,
    IncompleteDeletionError,
    PermissionDeniedError,
    RunNotFoundError,
)
from wbfiles_async._graphql.deletion import BATCHES_AT_ONCE
from wbfiles_async._graphql.pending_deletions import BATCH
from wbfiles_async.testing import LocalServer

pytestmark = pytest.mark.usefixtures("waits")


def project(runs: int = 3, *mutations: Mutation, **options: Any) -> ProjectApi:
    files = {"config.yaml": 1, "media/a.png": 10, "media/b.png": 20}
    return ProjectApi({f"r{number}": dict(files) for number in range(runs)}, [*mutations] or [deletes], **options)


async def delete(api: ProjectApi, filters: dict[str, object] | None = None, **arguments: Any) -> DeletionReport:
    async with api.client() as client:
        return await client.runs(PROJECT, filters).delete(**arguments)


def without_media(api: ProjectApi) -> bool:
    return api.files == {f"{run}/config.yaml" for run in api.runs}


# What is selected


async def test_one_request_lists_many_runs() -> None:
    api, results = project(runs=120), list[FileResult]()
    report = await delete(api, include=["media/"], on_result=results.append)
    assert attrs.evolve(report, seconds=0.0) == DeletionReport(files=240, deleted=240, bytes=120 * 30)
    assert without_media(api)
    assert api.operations == ["runs"] * 3 + ["delete"] * 3
    assert sorted(map(len, api.requested)) == [40, BATCH, BATCH]
    assert {f"{result.run}/{result.name}" for result in results} == {
        f"{PROJECT}/r{number}/media/{name}.png" for number in range(120) for name in "ab"
    }


async def test_filters_select_the_runs() -> None:
    api = project()
    await delete(api, {"name": {"$in": ["r1"]}}, include=["*.png"])
    assert len(api.runs["r0"]) == len(api.runs["r2"]) == 3
    assert [*api.runs["r1"]] == ["config.yaml"]


@pytest.mark.parametrize("include", [[], ["absent"], [" "]])
async def test_empty_selection_deletes_nothing(include: list[str]) -> None:
    api = project()
    before = api.files
    assert (await delete(api, include=include)).files == 0
    assert (api.files, api.requested) == (before, [])


async def test_project_without_runs_is_an_empty_report() -> None:
    api = ProjectApi({})
    assert (await delete(api, all=PROJECT)).files == 0
    assert api.requested == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"include": None},
        {"include": ["*"]},
        {"include": ["*.png", "**"]},
        {"include": ["?*"]},
        {"exclude": ["*.png"]},
        {"all": "project"},
        {"all": "team/other"},
        {"all": True},
        {"dry_run": True},
        {"include": ["*.png"], "all": PROJECT},
        {"include": [], "all": PROJECT},
        {"include": "*.png"},
    ],
)
async def test_deleting_all_files_requires_the_project_name(arguments: dict[str, Any]) -> None:
    api = project()
    before = api.files
    await error_of(ConfigurationError, delete(api, **arguments))
    assert (api.files, api.operations) == (before, [])


async def test_naming_the_project_deletes_all_but_excluded_files() -> None:
    api = project()
    assert (await delete(api, all=PROJECT, exclude=["*.yaml"])).deleted == 6
    assert without_media(api)
    assert (await delete(api, all=PROJECT)).deleted == 3
    assert api.files == set()


async def test_dry_run_lists_files_and_deletes_nothing() -> None:
    api = project()
    before = api.files
    report = await delete(api, include=["*.png"], dry_run=True)
    assert (report.planned, report.bytes, api.requested, api.files) == (6, 90, [], before)
    assert [(each.run, each.name) for each in report.planned_files[:3]] == [
        (f"{PROJECT}/r0", "media/a.png"),
        (f"{PROJECT}/r0", "media/b.png"),
        (f"{PROJECT}/r1", "media/a.png"),
    ]


async def test_listing_that_fails_deletes_nothing() -> None:
    api = project(runs=120)
    listed, original = 0, api._reply

    def reply(query: str, variables: dict[str, Any]) -> Reply:
        nonlocal listed
        listed += 1
        return error("out of order") if listed >= 3 else original(query, variables)

    api._reply = reply  # type: ignore[method-assign]
    await error_of(ApiError, delete(api, include=["*.png"]))
    assert (api.requested, len(api.files)) == ([], 360)


async def test_missing_project_raises() -> None:
    api = project()
    api._reply = lambda query, variables: data({"project": None})  # type: ignore[method-assign]
    await error_of(RunNotFoundError, delete(api, include=["*.png"]))


async def test_batches_in_progress_are_bounded() -> None:
    api = ProjectApi({f"r{run}": {f"{n}.bin": 1 for n in range(10)} for run in range(200)})
    await delete(api, include=["*.bin"])
    assert len(api.requested) == 20
    assert 1 < api.most <= BATCHES_AT_ONCE


# What is reported


async def test_progress_reports_each_file_with_its_run() -> None:
    events: list[tuple[object, ...]] = []

    class Recorder:
        def started(self, name: str, total: int | None) -> None:
            events.append(("started", name, total))

        def advanced(self, name: str, count: int) -> None:
            events.append(("advanced", name, count))

        def finished(self, name: str) -> None:
            events.append(("finished", name))

        def failed(self, name: str, error: Exception) -> None:
            events.append(("failed", name, type(error)))

    def one(api: ProjectApi, ids: list[str]) -> Reply:
        api.remove("r0/media/a.png")
        return data({"deleteFiles": {"success": False}})

    report = await delete(project(1, one), include=["*.png"], progress=Recorder(), raise_on_error=False)
    assert (report.deleted, report.failed) == (1, 1)
    assert events == [
        ("started", "r0/media/a.png", 10),
        ("advanced", "r0/media/a.png", 10),
        ("finished", "r0/media/a.png"),
        ("started", "r0/media/b.png", 20),
        ("failed", "r0/media/b.png", ApiError),
    ]


async def test_undeleted_files_are_named_and_a_second_call_retries_them() -> None:
    def some(api: ProjectApi, ids: list[str]) -> Reply:
        kept = [identity for identity in ids if identity == "r1/media/b.png"]
        deletes(api, [identity for identity in ids if identity not in kept])
        return data({"deleteFiles": {"success": not kept}})

    api = project(3, some)
    failure = await error_of(IncompleteDeletionError, delete(api, include=["*.png"]))
    assert f"1 of 6 files of the project {PROJECT} were not deleted" in str(failure)
    assert [(each.run, each.name) for each in failure.report.failures] == [(f"{PROJECT}/r1", "media/b.png")]
    report = await delete(api, include=["*.png"], raise_on_error=False)
    assert (report.files, report.failed) == (1, 1)
    api.mutations = [deletes]
    assert (await delete(api, include=["*.png"])).deleted == 1
    assert without_media(api)


async def test_exception_in_on_result_is_raised_unchanged() -> None:
    def refuse(result: FileResult) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await delete(project(), include=["*.png"], on_result=refuse)


def test_blocking_form_deletes_too(wandb_server: LocalServer) -> None:
    for run in ("a", "b"):
        for name in ("media/x.png", "keep.txt"):
            wandb_server.add_file(f"{PROJECT}/{run}", name, b"x")
    with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        runs = api.runs(PROJECT)
        assert runs.delete(include=["media/"], dry_run=True).planned == 2
        assert runs.delete(include=["media/"]).deleted == 2
        assert [file.name for file in runs.files()] == ["keep.txt", "keep.txt"]
        with pytest.raises(ConfigurationError, match=r"delete\(all='team/project'\)"):
            runs.delete()
        assert runs.delete(all=PROJECT).deleted == 2


# Faults


def answered(fault: Callable[[], Reply], *, deleting: Callable[[list[str]], list[str]]) -> Mutation:
    """A mutation that deletes some of the files, and answers with a fault."""

    def mutation(api: ProjectApi, ids: list[str]) -> Reply:
        deletes(api, deleting(ids))
        return fault()

    return mutation


FAULTS: list[Callable[[], Reply]] = [
    lost,
    lambda: httpx.Response(502, text="bad gateway"),
    lambda: error("database is locked"),
    lambda: data({"deleteFiles": {"success": False}}),
    lambda: data({"deleteFiles": None}),
]
PARTS: list[Callable[[list[str]], list[str]]] = [lambda ids: ids, lambda ids: [], lambda ids: ids[::2]]
FAULTY = [answered(fault, deleting=part) for fault in FAULTS for part in PARTS]


@pytest.mark.parametrize("fault", FAULTS[:3], ids=["reset", "502", "error"])
async def test_lost_response_is_checked_in_all_runs(fault: Callable[[], Reply]) -> None:
    api = project(3, answered(fault, deleting=lambda ids: ids))
    assert (await delete(api, include=["*.png"])).deleted == 6
    assert api.operations == ["runs", "delete", "runs"]


@pytest.mark.parametrize("finds_runs", [True, False])
async def test_files_left_by_a_lost_response_are_retried(finds_runs: bool) -> None:
    api = project(3, answered(lost, deleting=lambda ids: ids[:4]), deletes, finds_runs=finds_runs)
    assert (await delete(api, include=["*.png"])).deleted == 6
    assert without_media(api)
    assert api.requested[1] == ["r2/media/a.png", "r2/media/b.png"]


async def test_run_deleted_meanwhile_is_no_failure() -> None:
    def delete_a_run_concurrently(api: ProjectApi, ids: list[str]) -> Reply:
        api.runs.pop("r1", None)
        return deletes(api, ids)

    api = project(3, delete_a_run_concurrently)
    report = await delete(api, include=["*.png"])
    assert (report.deleted, report.failed) == (6, 0)
    assert without_media(api)


async def test_only_run_deleted_meanwhile_is_no_failure() -> None:
    def delete_the_run_concurrently(api: ProjectApi, ids: list[str]) -> Reply:
        api.runs.clear()
        return error("file not found")

    assert (await delete(project(1, delete_the_run_concurrently), include=["*.png"])).deleted == 2


async def test_invisible_project_does_not_count_as_deleted() -> None:
    api = project()

    def hides(api: ProjectApi, ids: list[str]) -> Reply:
        api._reply = lambda query, variables: data({"project": None})  # type: ignore[method-assign]
        return lost()

    api.mutations = [hides]
    failure = await error_of(IncompleteDeletionError, delete(api, include=["*.png"]))
    assert failure.report.failed == 6
    assert isinstance(failure.__cause__, RunNotFoundError)


async def test_server_that_accepts_one_run_per_request_gets_one() -> None:
    def of_one_run(api: ProjectApi, ids: list[str]) -> Reply:
        if len({identity.partition("/")[0] for identity in ids}) > 1:
            return error("files of several runs", 400)
        return deletes(api, ids)

    api = ProjectApi({f"r{run}": {f"{n}.bin": 1 for n in range(30)} for run in range(40)}, [of_one_run])
    assert (await delete(api, include=["*.bin"])).deleted == 1200
    assert api.files == set()
    mixed = [ids for ids in api.requested if len({identity.partition("/")[0] for identity in ids}) > 1]
    assert len(mixed) <= BATCHES_AT_ONCE, "it is tried once for each of the batches under way"


async def test_error_common_to_all_batches_stops_the_deletion() -> None:
    api = ProjectApi({f"r{run}": {f"{n}.bin": 1 for n in range(30)} for run in range(400)})
    api.mutations = [lambda api, ids: error("this server is read-only")]
    failure = await error_of(IncompleteDeletionError, delete(api, include=["*.bin"]))
    assert failure.report.failed == 12_000
    assert len(api.requested) <= 2 * BATCHES_AT_ONCE
    api.mutations = [lambda api, ids: error("no", 403)]
    await error_of(PermissionDeniedError, delete(api, include=["*.bin"]))


async def test_cancelled_deletion_can_be_repeated() -> None:
    begun = asyncio.Event()
    api = ProjectApi({f"r{run}": {f"{n}.bin": 1 for n in range(10)} for run in range(200)})

    def notes(api: ProjectApi, ids: list[str]) -> Reply:
        begun.set()
        return deletes(api, ids)

    api.mutations = [notes]
    async with api.client() as client:
        task = asyncio.create_task(client.runs(PROJECT).delete(include=["*.bin"]))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        requested = len(api.requested)
        assert requested <= BATCHES_AT_ONCE + 1
        report = await client.runs(PROJECT).delete(include=["*.bin"])
    assert report.deleted == 2000 - sum(map(len, api.requested[:requested]))
    assert api.files == set()


# Whatever the tree, the patterns and the faults

PART = st.sampled_from(["a", "b", "ab", "media", "x.png", "x.txt", "A", "[a]", "*", "a*", "é", " "])
NAME = st.lists(PART, min_size=1, max_size=3).map("/".join)
TREE = st.dictionaries(
    st.sampled_from([f"r{number}" for number in range(60)]),
    st.dictionaries(NAME, st.integers(0, 5), max_size=30),
    max_size=8,
)
PATTERN = st.one_of(NAME, st.text("ab*?[]!/.mpx", min_size=1, max_size=6), st.just("media/"), st.just("*.png"))


def matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, f"{pattern}*" if pattern.endswith("/") else pattern)


@settings(max_examples=150, deadline=None)
@given(
    tree=TREE,
    include=st.one_of(st.none(), st.lists(PATTERN, max_size=3)),
    exclude=st.lists(PATTERN, max_size=2),
    chosen_runs=st.one_of(st.none(), st.lists(st.sampled_from(["r0", "r1", "r2", "r3"]), max_size=3)),
    faults=st.lists(st.sampled_from(FAULTY), max_size=4),
    narrows=st.booleans(),
    confirms_all=st.booleans(),
)
def test_files_outside_the_selection_are_never_deleted(
    tree: dict[str, dict[str, int]],
    include: list[str] | None,
    exclude: list[str],
    chosen_runs: list[str] | None,
    faults: list[Mutation],
    narrows: bool,
    confirms_all: bool,
) -> None:
    api = ProjectApi({run: dict(files) for run, files in tree.items()}, [*faults, deletes], narrows=narrows)
    before = api.files
    selected = {
        f"{run}/{name}"
        for run, files in tree.items()
        for name in files
        if (chosen_runs is None or run in chosen_runs)
        and (include is None or any(matches(name, pattern) for pattern in include))
        and not any(matches(name, pattern) for pattern in exclude)
    }

    async def work() -> DeletionReport | None:
        async with api.client() as client:
            filters = None if chosen_runs is None else {"name": {"$in": chosen_runs}}
            try:
                runs, all = client.runs(PROJECT, filters), PROJECT if confirms_all else None
                return await runs.delete(include=include, exclude=exclude, all=all, raise_on_error=False)
            except ConfigurationError:
                return None

    with clients_use(SkippingClock().clock):
        report = asyncio.run(work())
    gone = before - api.files
    assert gone <= selected
    assert {identity for ids in api.requested for identity in ids} <= selected
    if report is None:
        assert not gone
        assert not api.operations
        return
    assert report.files == len(selected)
    assert report.deleted == len(gone)
    assert report.failed == len(selected - gone)


async def test_files_are_deleted_on_the_server(wandb_server: LocalServer) -> None:
    """Against the embedded server, which executes the queries."""
    for number in range(60):
        for name in ("config.yaml", *(f"media/{index}.png" for index in range(25))):
            wandb_server.add_file(f"{PROJECT}/run{number}", name, b"x")
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        report = await api.runs(PROJECT).delete(include=["media/*"], exclude=["media/7.png"])
        assert report.deleted == 60 * 24
        left = {file.name async for file in api.runs(PROJECT).files()}
    assert left == {"config.yaml", "media/7.png"}
