"""Deleting many files: in verified batches; partial deletions are reported."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from scripted_server import RUN, Answer, ScriptedServer, Seen, client, error_of, graphql_answer
from scripted_server import server as server
from scripted_server import waits as waits

from wbfiles_async import (
    Api,
    ApiError,
    AsyncApi,
    AuthenticationError,
    ConfigurationError,
    DeletionReport,
    FileResult,
    IncompleteDeletionError,
    PermissionDeniedError,
    RateLimitedError,
    RunNotFoundError,
    TransferError,
)
from wbfiles_async._graphql.deletion import BATCHES_AT_ONCE
from wbfiles_async._graphql.pending_deletions import BATCH
from wbfiles_async._reports import FAILURES_KEPT
from wbfiles_async.testing import LocalServer

pytestmark = pytest.mark.usefixtures("waits")

LOST = Answer(body=b"", head=b"", end="reset")
"""The connection breaks before the first byte of the response."""

Mutation = Callable[["Deleting", list[str]], Answer]
"""A server's handling of a request to delete files with these ids."""


def deletes(run: Deleting, ids: list[str]) -> Answer:
    """Delete the existing ones, like a good server."""
    there = [run.files.pop(identity, None) is not None for identity in ids]
    return graphql_answer({"deleteFiles": {"success": all(there)}})


def deletes_and_answers(answer: Answer) -> Mutation:
    def mutation(run: Deleting, ids: list[str]) -> Answer:
        deletes(run, ids)
        return answer

    return mutation


def answers(answer: Answer) -> Mutation:
    return lambda run, ids: answer


def error(message: str, status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps({"data": None, "errors": [{"message": message}]}).encode())


@attrs.define
class Deleting:
    """An API with files that can be deleted. Its cursors are positions in the list, so that deletions shift them.

    Attributes:
        files: Names by id.
        mutations: The handling of each mutation; the last one repeats.
        requested: The ids of each mutation.
        operations: The requests, in order: ``list``, ``look`` (a listing of names), ``delete``.
        at_once: Mutations in progress, and their maximum.
    """

    files: dict[str, str]
    mutations: list[Mutation] = attrs.field(factory=lambda: [deletes])
    requested: list[list[str]] = attrs.field(factory=list)
    project_ids: list[object] = attrs.field(factory=list)
    operations: list[str] = attrs.field(factory=list)
    answer_look: Answer | None = None
    sizes: int = 10

    def __call__(self, seen: Seen) -> Answer:
        body = json.loads(seen.body)
        variables = body["variables"]
        if "mutation" in body["query"]:
            self.operations.append("delete")
            self.requested.append(variables["files"])
            self.project_ids.append(variables.get("projectId"))
            mutation = self.mutations.pop(0) if len(self.mutations) > 1 else self.mutations[0]
            return mutation(self, variables["files"])
        names = variables["fileNames"]
        self.operations.append("look" if names else "list")
        if names and self.answer_look is not None:
            return self.answer_look
        found = [(i, name) for i, name in self.files.items() if not names or name in names]
        start = int(variables["fileCursor"] or 0)
        some = found[start : start + variables["fileLimit"]]
        edges = [
            {
                "node": {"id": i, "name": name, "sizeBytes": self.sizes, "md5": "x", "updatedAt": "t"},
                "cursor": str(start + n + 1),
            }
            for n, (i, name) in enumerate(some)
        ]
        page_info = {"endCursor": None, "hasNextPage": start + len(some) < len(found)}
        run = {"fileCount": len(self.files), "files": {"edges": edges, "pageInfo": page_info}}
        return graphql_answer({"project": {"internalId": "7", "run": run}})

    @property
    def names(self) -> list[str]:
        return list(self.files.values())


def deleting(server: ScriptedServer, count: int, *mutations: Mutation) -> Deleting:
    run = Deleting({f"id-{n}": f"{n}.txt" for n in range(count)}, [*mutations] or [deletes])
    server.on("/graphql", run)
    return run


async def test_all_files_are_deleted_in_batches_of_their_ids(server: ScriptedServer) -> None:
    run = deleting(server, 2 * BATCH + 1)
    results: list[FileResult] = []
    async with client(server) as api:
        report = await api.run(RUN).files().delete(all=True, on_result=results.append)
    assert run.files == {}
    assert sorted(map(len, run.requested)) == [1, BATCH, BATCH]
    assert set(run.project_ids) == {7}
    assert attrs.evolve(report, seconds=0.0) == DeletionReport(
        files=2 * BATCH + 1, deleted=2 * BATCH + 1, bytes=10 * (2 * BATCH + 1)
    )
    assert {(result.status, result.size, result.error) for result in results} == {("deleted", 10, None)}
    assert sorted(result.name for result in results) == sorted(f"{n}.txt" for n in range(2 * BATCH + 1))


async def test_nothing_is_deleted_before_all_is_listed(server: ScriptedServer) -> None:
    run = deleting(server, 25)
    async with client(server) as api:
        await api.run(RUN).files(per_page=10).delete(all=True)
    assert run.operations == ["list", "list", "list", "delete"]
    assert run.files == {}, "deleting between two pages would have moved some past the cursor"


async def test_listing_that_fails_deletes_nothing(server: ScriptedServer) -> None:
    run = deleting(server, 25)
    server.on("/graphql", run, error("broken"))
    async with client(server) as api:
        await error_of(ApiError, api.run(RUN).files(per_page=10).delete(all=True))
    assert run.operations == ["list"]


async def test_globs_names_and_match_select(server: ScriptedServer) -> None:
    run = deleting(server, 12)
    async with client(server) as api:
        files = api.run(RUN).files
        assert (await files().delete(include=["1*"], exclude=["11.*"])).deleted == 2
        assert (await files(names=["2.txt", "absent.txt"]).delete()).deleted == 1
        assert (await files(match={"id": "id-3"}).delete()).deleted == 1
        with pytest.raises(ConfigurationError):
            await files().delete(include="*.txt")
    assert run.names == ["0.txt", "4.txt", "5.txt", "6.txt", "7.txt", "8.txt", "9.txt", "11.txt"]


async def test_dry_run_lists_and_deletes_nothing(server: ScriptedServer) -> None:
    run = deleting(server, 12)
    results: list[FileResult] = []
    async with client(server) as api:
        report = await api.run(RUN).files().delete(include=["1*"], dry_run=True, on_result=results.append)
    assert report == DeletionReport(files=3, planned=3, bytes=30, planned_files=tuple(results))
    assert [(result.name, result.status) for result in results] == [
        (name, "planned") for name in ("1.txt", "10.txt", "11.txt")
    ]
    assert run.operations == ["list"]


async def test_dry_run_lists_a_bounded_number_of_files(server: ScriptedServer) -> None:
    deleting(server, FAILURES_KEPT + 1)
    async with client(server) as api:
        report = await api.run(RUN).files().delete(all=True, dry_run=True)
    assert report.planned == FAILURES_KEPT + 1
    assert [file.name for file in report.planned_files] == [f"{n}.txt" for n in range(FAILURES_KEPT)]


async def test_empty_run_is_an_empty_report(server: ScriptedServer) -> None:
    run = deleting(server, 0)
    async with client(server) as api:
        report = await api.run(RUN).files().delete(all=True)
    assert (report.files, report.deleted) == (0, 0)
    assert run.operations == ["list"]


async def test_batches_in_progress_are_bounded(server: ScriptedServer) -> None:
    run = deleting(server, 10 * BATCH)
    gate, begun, most = asyncio.Event(), 0, 0

    async def answer(seen: Seen) -> Answer:
        nonlocal begun, most
        answered = run(seen)
        if run.operations[-1] == "delete":
            begun, most = begun + 1, max(most, begun + 1)
            if begun == BATCHES_AT_ONCE:
                gate.set()
            await gate.wait()
            begun -= 1
        return answered

    server.on("/graphql", answer)
    async with client(server) as api:
        await api.run(RUN).files().delete(all=True)
    assert most == BATCHES_AT_ONCE


async def test_missing_run_raises(server: ScriptedServer) -> None:
    server.on("/graphql", graphql_answer({"project": None}))
    async with client(server) as api:
        await error_of(RunNotFoundError, api.run(RUN).files().delete(all=True))


# Fault 75: the response is lost

each_loss = pytest.mark.parametrize(
    "lost", [LOST, Answer(status=502, body=b"bad gateway"), Answer(status=504)], ids=["reset", "502", "504"]
)


@each_loss
async def test_lost_response_is_checked_before_a_retry(server: ScriptedServer, lost: Answer) -> None:
    run = deleting(server, 3, deletes_and_answers(lost))
    async with client(server) as api:
        report = await api.run(RUN).files().delete(all=True)
    assert run.operations == ["list", "delete", "look"]
    assert (report.deleted, report.failed) == (3, 0)


@each_loss
async def test_files_left_after_a_lost_response_are_deleted(server: ScriptedServer, lost: Answer) -> None:
    def half(run: Deleting, ids: list[str]) -> Answer:
        deletes(run, ids[:2])
        return lost

    run = deleting(server, 3, answers(lost), half, deletes)
    async with client(server) as api:
        report = await api.run(RUN).files().delete(all=True)
    assert run.operations == ["list", "delete", "look", "delete", "look", "delete"]
    assert run.requested == [["id-0", "id-1", "id-2"], ["id-0", "id-1", "id-2"], ["id-2"]]
    assert (report.deleted, run.files) == (3, {})


async def test_new_file_with_a_deleted_name_is_kept(server: ScriptedServer) -> None:
    def replaces(run: Deleting, ids: list[str]) -> Answer:
        deletes(run, ids)
        run.files["id-new"] = "0.txt"
        return LOST

    run = deleting(server, 1, replaces)
    async with client(server) as api:
        assert (await api.run(RUN).files().delete(all=True)).deleted == 1
    assert run.files == {"id-new": "0.txt"}
    assert run.requested == [["id-0"]]


async def test_lost_responses_end_with_the_attempts(server: ScriptedServer, waits: list[float]) -> None:
    run = deleting(server, 20 * BATCH, answers(Answer(status=503)))
    results: list[FileResult] = []
    async with client(server, attempts=3) as api:
        error = await error_of(IncompleteDeletionError, api.run(RUN).files().delete(all=True, on_result=results.append))
    assert run.operations.count("delete") <= 3 * BATCHES_AT_ONCE
    assert len(waits) <= 2 * BATCHES_AT_ONCE
    assert (error.report.files, error.report.deleted, error.report.failed) == (20 * BATCH, 0, 20 * BATCH)
    assert len(results) == len({result.name for result in results}) == 20 * BATCH, "each is reported once"
    assert isinstance(error.__cause__, ApiError)


async def test_failed_lookup_reports_an_unknown_state(server: ScriptedServer) -> None:
    run = deleting(server, 3, deletes_and_answers(LOST))
    run.answer_look = error("out of order")
    async with client(server) as api:
        error_ = await error_of(IncompleteDeletionError, api.run(RUN).files().delete(all=True))
    assert run.operations == ["list", "delete", "look"]
    assert "not known" in str(error_)
    assert "out of order" in str(error_)
    assert set(error_.names) == {"0.txt", "1.txt", "2.txt"}


async def test_unreachable_server_is_reported(server: ScriptedServer) -> None:
    run = deleting(server, 3)
    server.on("/graphql", run, LOST)
    async with client(server) as api:
        error = await error_of(IncompleteDeletionError, api.run(RUN).files().delete(all=True))
    assert isinstance(error.__cause__, TransferError)


# Fault 76: not all files were deleted


async def test_missing_files_count_as_deleted(server: ScriptedServer) -> None:
    def delete_concurrently(run: Deleting, ids: list[str]) -> Answer:
        del run.files["id-1"]
        return deletes(run, ids)

    run = deleting(server, 3, delete_concurrently)
    async with client(server) as api:
        report = await api.run(RUN).files().delete(all=True)
    assert (report.deleted, report.failed) == (3, 0)
    assert run.operations == ["list", "delete", "look"]


async def test_undeleted_files_are_named_and_other_batches_deleted(server: ScriptedServer) -> None:
    protected = {"id-1", f"id-{BATCH}"}

    def some(run: Deleting, ids: list[str]) -> Answer:
        deletes(run, [identity for identity in ids if identity not in protected])
        return graphql_answer({"deleteFiles": {"success": not protected & set(ids)}})

    run = deleting(server, 30 * BATCH, some)
    results: list[FileResult] = []
    async with client(server) as api:
        error = await error_of(IncompleteDeletionError, api.run(RUN).files().delete(all=True, on_result=results.append))
    assert set(run.files) == protected
    assert sorted(error.names) == ["1.txt", f"{BATCH}.txt"]
    assert "'1.txt'" in str(error)
    report = error.report
    assert (report.files, report.deleted, report.failed) == (30 * BATCH, 30 * BATCH - 2, 2)
    assert report.bytes == 10 * report.deleted
    assert sorted(result.name for result in results if result.status == "failed") == sorted(error.names)
    assert len(results) == 30 * BATCH


async def test_ignored_batch_is_not_sent_again(server: ScriptedServer) -> None:
    run = deleting(server, 3, answers(graphql_answer({"deleteFiles": {"success": False}})))
    async with client(server) as api:
        await error_of(IncompleteDeletionError, api.run(RUN).files().delete(all=True))
    assert run.operations == ["list", "delete", "look"]


async def test_error_about_a_missing_file_does_not_keep_the_others(server: ScriptedServer) -> None:
    def refuses_unknown(run: Deleting, ids: list[str]) -> Answer:
        return deletes(run, ids) if set(ids) <= set(run.files) else error("file not found")

    def delete_concurrently(run: Deleting, ids: list[str]) -> Answer:
        del run.files["id-1"]
        return refuses_unknown(run, ids)

    run = deleting(server, 3, delete_concurrently, refuses_unknown)
    async with client(server) as api:
        assert (await api.run(RUN).files().delete(all=True)).deleted == 3
    assert run.requested[-1] == ["id-0", "id-2"]


async def test_error_common_to_all_batches_stops_the_deletion(server: ScriptedServer) -> None:
    run = deleting(server, 50 * BATCH, answers(error("this server is read-only")))
    async with client(server) as api:
        error_ = await error_of(IncompleteDeletionError, api.run(RUN).files().delete(all=True))
    assert run.operations.count("delete") <= BATCHES_AT_ONCE
    assert "this server is read-only" in str(error_)
    assert len(error_.names) == 1000
    assert error_.report.failed == 50 * BATCH
    assert len(str(error_)) < 1000


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (403, PermissionDeniedError)])
async def test_missing_permission_is_reported(
    server: ScriptedServer, status: int, kind: type[AuthenticationError | PermissionDeniedError]
) -> None:
    run = deleting(server, 3 * BATCH, answers(error("no", status)))
    async with client(server) as api:
        await error_of(kind, api.run(RUN).files().delete(all=True))
    assert len(run.files) == 3 * BATCH


async def test_permission_lost_midway_reports_what_was_deleted(server: ScriptedServer) -> None:
    run = deleting(server, 20 * BATCH, deletes, answers(error("no", 403)))
    async with client(server) as api:
        error_ = await error_of(IncompleteDeletionError, api.run(RUN).files().delete(all=True))
    assert isinstance(error_.__cause__, PermissionDeniedError)
    assert (error_.report.deleted, error_.report.failed) == (BATCH, 19 * BATCH)
    assert len(run.files) == 19 * BATCH


async def test_busy_server_is_asked_within_the_attempts(server: ScriptedServer) -> None:
    run = deleting(server, 3, answers(Answer(status=429, body=b"{}")))
    async with client(server, attempts=3) as api:
        error_ = await error_of(IncompleteDeletionError, api.run(RUN).files().delete(all=True))
    assert isinstance(error_.__cause__, RateLimitedError)
    assert run.operations == ["list", "delete", "delete", "delete"]


async def test_old_server_is_sent_project_numbers_only_at_first(server: ScriptedServer) -> None:
    run = deleting(server, 12 * BATCH)

    def old(seen: Seen) -> Answer:
        answered = run(seen)
        if "projectId" in json.loads(seen.body)["variables"]:
            run.files |= {i: f"{i[3:]}.txt" for i in run.requested[-1]}
            return error('Unknown argument "projectId"', 400)
        return answered

    server.on("/graphql", old)
    async with client(server) as api:
        assert (await api.run(RUN).files().delete(all=True)).deleted == 12 * BATCH
    assert run.project_ids.count(7) <= BATCHES_AT_ONCE


# Ending early


async def test_cancellation_leaves_no_task_and_a_usable_client(server: ScriptedServer) -> None:
    run = deleting(server, 10 * BATCH)
    begun, gate = asyncio.Event(), asyncio.Event()

    def held(seen: Seen) -> Answer:
        answered = run(seen)
        if run.operations[-1] == "delete":
            begun.set()
            return answered.but(gate=gate)
        return answered

    server.on("/graphql", held)
    async with client(server) as api:
        files = api.run(RUN).files()
        task = asyncio.create_task(files.delete(all=True))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ours = asyncio.all_tasks() - server.tasks - {asyncio.current_task()}
        assert not {each for each in ours if "Deletion" in repr(each.get_coro())}
        gate.set()
        requested = len(run.requested)
        assert requested <= BATCHES_AT_ONCE
        report = await files.delete(all=True)
    assert report.deleted >= 10 * BATCH - requested * BATCH
    assert run.files == {}


async def test_exception_in_on_result_is_raised_unchanged(server: ScriptedServer) -> None:
    run = deleting(server, 20 * BATCH)

    def refuse(result: FileResult) -> None:
        raise ZeroDivisionError

    async with client(server) as api:
        with pytest.raises(ZeroDivisionError):
            await api.run(RUN).files().delete(all=True, on_result=refuse)
    assert len(run.requested) <= BATCHES_AT_ONCE


# The embedded server, checked with W&B's own client

WITNESS = """
import json, wandb
print(json.dumps(sorted(file.name for file in wandb.Api().run("team/project/run1").files())))
"""


def seen_by_wandb(server: LocalServer, folder: Path) -> list[str]:
    environ = os.environ | {
        "WANDB_BASE_URL": server.base_url,
        "WANDB_API_KEY": server.api_key,
        "WANDB_DIR": str(folder),
        "WANDB_SILENT": "true",
    }
    child = subprocess.run(
        [sys.executable, "-c", WITNESS], env=environ, cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert child.returncode == 0, child.stderr
    names: list[str] = json.loads(child.stdout)
    return names


def test_wandb_sees_what_is_left(wandb_server: LocalServer, tmp_path: Path) -> None:
    for number in range(2 * BATCH + 20):
        wandb_server.add_file(RUN, f"media/{number:03}.png", b"x")
    wandb_server.add_file(RUN, "config.yaml", b"a: 1")
    wandb_server.add_file(RUN, "odd ä'\"\n.png", b"x")
    with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        report = api.run(RUN).files(per_page=50).delete(include=["*.png"], exclude=["media/000.png"])
    assert (report.deleted, report.bytes) == (2 * BATCH + 20, 2 * BATCH + 20)
    assert seen_by_wandb(wandb_server, tmp_path) == ["config.yaml", "media/000.png"]


async def test_deleting_twice_is_no_error(wandb_server: LocalServer) -> None:
    for number in range(3):
        wandb_server.add_file(RUN, f"{number}.txt", b"x")
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        listed = await api.run(RUN).files().to_list()
        await asyncio.gather(*(file.delete() for file in listed), api.run(RUN).files().delete(all=True))
        await listed[0].delete()
        assert await api.run(RUN).files().count() == 0
