"""Deletes files of one or more runs in batches, and looks them up if the response does not confirm it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from itertools import chain
from typing import Final

import anyio
import anyio.lowlevel
import attrs

from wbfiles_async._backoff import is_transient
from wbfiles_async._clock import Clock
from wbfiles_async._graphql.api import WandbApi
from wbfiles_async._graphql.named_runs import NamedRuns
from wbfiles_async._graphql.pending_deletions import FileOfRun, PendingDeletions
from wbfiles_async._graphql.queries import DELETE_FILES, DELETE_FILES_WITHOUT_PROJECT
from wbfiles_async._graphql.responses import check_deleted
from wbfiles_async._models import FileStatus, ProjectPath, RunPath
from wbfiles_async._options import TransferOptions
from wbfiles_async._reports import FAILURES_KEPT, DeletionReport, FileResult
from wbfiles_async._retry.budget import RetryBudget
from wbfiles_async._retry.failure import RequestFailed, RetryAction
from wbfiles_async._tasks import open_task_group
from wbfiles_async.errors import (
    ApiError,
    AuthenticationError,
    IncompleteDeletionError,
    PermissionDeniedError,
    RateLimitedError,
    TransferError,
    WBFilesError,
)

BATCHES_AT_ONCE: Final = 4
"""Simultaneous mutations: enough to hide the latency, few enough for the server's database."""


@attrs.frozen
class _Outcome:
    """The result of a batch.

    Attributes:
        left: The files that exist or may exist.
        error: The reason.
        final: Whether other batches would fail in the same way.
    """

    left: Sequence[FileOfRun] = ()
    error: WBFilesError | None = None
    final: bool = False


@attrs.define(eq=False)
class Deletion:
    """A deletion of files of one project.

    A mutation whose response is lost may have been executed. It is never simply sent again: the files are first
    looked up by name, and missing ones count as deleted, whoever deleted them, also with their run. A new file with
    the name of a deleted one has another id and is not deleted.

    A batch holds files of several runs. If the server refuses one, the files of each run are sent by themselves.

    Args:
        api: W&B's API.
        options: How long a batch may keep failing.
        clock: The time.
        where: The run or the project that the files belong to, for messages.
        on_result: Called with each file's result.
    """

    _api: WandbApi
    _options: TransferOptions
    _clock: Clock
    _where: str
    _on_result: Callable[[FileResult], None] | None = None
    _counts: dict[FileStatus, int] = attrs.field(factory=dict, init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _failures: list[FileResult] = attrs.field(factory=list, init=False)
    _planned: list[FileResult] = attrs.field(factory=list, init=False)
    _stopped_by: WBFilesError | None = attrs.field(default=None, init=False)

    async def one(self, file: FileOfRun) -> None:
        """Delete one file.

        Raises:
            ApiError: The server refuses, or reports success without deleting it.
            WBFilesError: Any other failure.
        """
        outcome = await self._delete([file])
        if outcome.error is not None:
            raise outcome.error

    async def preview(self, pending: PendingDeletions) -> DeletionReport:
        """Report what would be deleted. Makes no request."""
        for batch in pending.batches():
            for each in batch:
                self._account(each, "planned")
            await anyio.lowlevel.checkpoint()  # there may be millions of files, and other tasks need the event loop
        return self._report(0.0)

    async def carry_out(self, pending: PendingDeletions) -> DeletionReport:
        """Delete.

        An error that every batch would meet ends it, once the batches in progress have ended.

        Raises:
            IncompleteDeletionError: Files are left.
            AuthenticationError: The credentials were not accepted; nothing was deleted.
            PermissionDeniedError: They do not suffice; nothing was deleted.
        """
        began = self._clock.monotonic()
        batches = pending.batches()
        async with open_task_group() as group:
            for _ in range(BATCHES_AT_ONCE):
                group.start_soon(self._work, batches)
        stopped_by = self._stopped_by
        for batch in batches:  # none if it was not stopped
            for each in batch:
                self._account(each, "failed", stopped_by)
        report = self._report(self._clock.monotonic() - began)
        if not report.deleted and isinstance(stopped_by, AuthenticationError | PermissionDeniedError):
            raise stopped_by
        if report.failed:
            error = report.failures[0].error
            raise IncompleteDeletionError(_summary(self._where, report), report=report) from error
        return report

    async def _work(self, batches: Iterator[Sequence[FileOfRun]]) -> None:
        while self._stopped_by is None and (batch := next(batches, None)) is not None:
            outcome = await self._delete_batch(batch)
            left = {(each.run, each.file.id) for each in outcome.left}
            for each in batch:
                if (each.run, each.file.id) in left:
                    self._account(each, "failed", outcome.error)
                else:
                    self._account(each, "deleted")
            if outcome.final and self._stopped_by is None:
                self._stopped_by = outcome.error

    async def _delete_batch(self, batch: Sequence[FileOfRun]) -> _Outcome:
        """Delete a batch; if the server does not accept files of several runs together, run by run."""
        outcome = _Outcome(batch)
        if self._api.mixes_runs:
            outcome = await self._delete(batch)
            if not _is_refusal(outcome):
                return outcome
        by_run: dict[RunPath, list[FileOfRun]] = {}
        for each in outcome.left:
            by_run.setdefault(each.run, []).append(each)
        if self._api.mixes_runs and len(by_run) == 1:
            return outcome
        parts, left, error = [*by_run.values()], list[FileOfRun](), None
        while parts:
            outcome = await self._delete(parts.pop())
            left += outcome.left
            error = error or outcome.error
            if outcome.final:
                return _Outcome([*left, *chain.from_iterable(parts)], outcome.error, final=True)
            self._api.mixes_runs = False  # since it accepts those of one run
        return _Outcome(left, error)

    async def _delete(self, batch: Sequence[FileOfRun]) -> _Outcome:
        left, budget = batch, RetryBudget(self._options, self._clock)
        try:
            while True:
                round, carried_out = budget.round, False
                try:
                    answer = await self._mutate(left)
                    carried_out = True
                    check_deleted(answer)
                    return _Outcome()
                except RateLimitedError:  # was not started, and the time is up
                    raise
                except (TransferError, ApiError) as error:
                    doubt = error
                before, left = left, await self._still_there(left)
                if not left:
                    return _Outcome()
                if len(left) < len(before):  # a missing file may have been the reason for the others
                    continue
                if carried_out:
                    return _Outcome(left, doubt)
                if isinstance(doubt, ApiError) and not is_transient(doubt.status):
                    raise doubt
                await budget.spend(RequestFailed(RetryAction.RETRY, doubt), round=round)
        except WBFilesError as error:
            return _Outcome(left, error, final=True)

    async def _mutate(self, files: Sequence[FileOfRun]) -> dict[str, object]:
        api = self._api
        number = await api.project_number(files[0].run)
        ids: dict[str, object] = {"files": [each.file.id for each in files]}
        if api.names_projects:
            try:
                return await api.query(DELETE_FILES, ids | {"projectId": number}, repeat=False)
            except ApiError as error:
                if not any("projectId" in message for message in error.messages):
                    raise
                api.names_projects = False
        return await api.query(DELETE_FILES_WITHOUT_PROJECT, ids, repeat=False)

    async def _still_there(self, files: Sequence[FileOfRun]) -> list[FileOfRun]:
        """Look files up by their names.

        Raises:
            RunNotFoundError: The project no longer exists, or is not visible.
            ApiError: The server fails.
        """
        names = tuple(dict.fromkeys(each.file.name for each in files))
        resolved = {run: await self._api.resolve(run) for run in dict.fromkeys(each.run for each in files)}
        listed = NamedRuns(self._api, names, urls=False).pages(resolved.values())
        seen: set[RunPath] = set()
        there: set[tuple[RunPath, str]] = set()
        found = self._api.files_of_runs(listed, names=names, urls=False, per_page=len(names))
        async with aclosing(found) as pages:
            async for run, page in pages:
                seen.add(run.path)
                there.update((run.path, file.id) for file in page)
        if not seen.issuperset(resolved.values()):  # a run was deleted meanwhile, and its files with it
            project = ProjectPath(files[0].run.entity, files[0].run.project)
            await self._api.count_runs(project, "{}")  # raises if the project is not visible
        return [each for each in files if (resolved[each.run], each.file.id) in there]

    def _account(self, each: FileOfRun, status: FileStatus, error: WBFilesError | None = None) -> None:
        file = each.file
        result = FileResult(name=file.name, status=status, size=file.size_bytes or 0, error=error, run=str(each.run))
        self._counts[status] = self._counts.get(status, 0) + 1
        if error is None:
            self._bytes += result.size
        kept = self._failures if status == "failed" else self._planned if status == "planned" else None
        if kept is not None and len(kept) < FAILURES_KEPT:
            kept.append(result)
        if self._on_result is not None:
            self._on_result(result)

    def _report(self, seconds: float) -> DeletionReport:
        counts = self._counts
        return DeletionReport(
            files=sum(counts.values()),
            deleted=counts.get("deleted", 0),
            planned=counts.get("planned", 0),
            failed=counts.get("failed", 0),
            bytes=self._bytes,
            seconds=seconds,
            failures=tuple(self._failures),
            planned_files=tuple(self._planned),
        )


NAMES_SHOWN = 5
"""Maximum files in the message of an incomplete deletion; the report has more."""


def _is_refusal(outcome: _Outcome) -> bool:
    """Return whether the server refused a mutation permanently."""
    error = outcome.error
    return outcome.final and isinstance(error, ApiError) and not isinstance(error, RateLimitedError)


def _summary(where: str, report: DeletionReport) -> str:
    names = ", ".join(repr(failure.name) for failure in report.failures[:NAMES_SHOWN])
    more = f" and {report.failed - NAMES_SHOWN} more" if report.failed > NAMES_SHOWN else ""
    return (
        f"{report.failed} of {report.files} files of {where} were not deleted, or it is not known whether they "
        f"were: {names}{more}. The first reason: {report.failures[0].error} Delete again to continue with what is left."
    )
