"""Deletes files of a run in batches, and looks for them if the server's answer does not confirm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

import attrs

from wbfiles_async._backoff import is_transient
from wbfiles_async._clock import Clock
from wbfiles_async._graphql.api import WandbApi
from wbfiles_async._graphql.pending_deletions import PendingDeletions
from wbfiles_async._graphql.queries import DELETE_FILES, DELETE_FILES_WITHOUT_PROJECT
from wbfiles_async._graphql.responses import check_deleted
from wbfiles_async._models import FileAttributes, FileStatus, RunPath
from wbfiles_async._options import TransferOptions
from wbfiles_async._reports import DeletionReport, FileResult
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

FAILURES_KEPT: Final = 1000
"""Failures a report lists; it counts them all."""

BATCHES_AT_ONCE: Final = 4
"""Simultaneous mutations: hides the latency, and is no burden to the server's database."""


@attrs.frozen
class _Outcome:
    """The result of a batch.

    Attributes:
        left: The files that are, or may be, still there.
        error: Why.
        final: Whether other batches would fare the same.
    """

    left: Sequence[FileAttributes] = ()
    error: WBFilesError | None = None
    final: bool = False


@attrs.define(eq=False)
class Deletion:
    """One deletion of files of one run.

    A mutation whose answer got lost may have been carried out. It is never just sent again: the files are looked
    for first, by their names, and what has gone counts as deleted, whoever deleted it. A file that got the name
    of a deleted one meanwhile has another id and is left alone.

    Args:
        api: W&B's API.
        options: How long a batch may keep failing.
        clock: The time.
        run: The run.
        on_result: Called with the result of each file.
    """

    _api: WandbApi
    _options: TransferOptions
    _clock: Clock
    _run: RunPath
    _on_result: Callable[[FileResult], None] | None = None
    _counts: dict[FileStatus, int] = attrs.field(factory=dict, init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _failures: list[FileResult] = attrs.field(factory=list, init=False)
    _planned: list[FileResult] = attrs.field(factory=list, init=False)
    _stopped_by: WBFilesError | None = attrs.field(default=None, init=False)

    async def one(self, file: FileAttributes) -> None:
        """Delete one file.

        Raises:
            ApiError: The server refuses, or says that it did and did not.
            WBFilesError: What else kept it from being deleted.
        """
        outcome = await self._delete([file])
        if outcome.error is not None:
            raise outcome.error

    def tell(self, pending: PendingDeletions) -> DeletionReport:
        """Report what would be deleted. Makes no request."""
        for file in pending:
            self._account(file, "planned")
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
        for batch in batches:  # none where it was not stopped
            for file in batch:
                self._account(file, "failed", stopped_by)
        report = self._report(self._clock.monotonic() - began)
        if not report.deleted and isinstance(stopped_by, AuthenticationError | PermissionDeniedError):
            raise stopped_by
        if report.failed:
            error = report.failures[0].error
            raise IncompleteDeletionError(_summary(self._run, report), report=report) from error
        return report

    async def _work(self, batches: Iterator[Sequence[FileAttributes]]) -> None:
        while self._stopped_by is None and (batch := next(batches, None)) is not None:
            outcome = await self._delete(batch)
            left = {file.id for file in outcome.left}
            for file in batch:
                if file.id in left:
                    self._account(file, "failed", outcome.error)
                else:
                    self._account(file, "deleted")
            if outcome.final and self._stopped_by is None:
                self._stopped_by = outcome.error

    async def _delete(self, batch: Sequence[FileAttributes]) -> _Outcome:
        left, budget = batch, RetryBudget(self._options, self._clock)
        try:
            while True:
                round, carried_out = budget.round, False
                try:
                    answer = await self._mutate(left)
                    carried_out = True
                    check_deleted(answer)
                    return _Outcome()
                except RateLimitedError:  # was not begun, and has been waited for long enough
                    raise
                except (TransferError, ApiError) as error:
                    doubt = error
                before, left = left, await self._still_there(left)
                if not left:
                    return _Outcome()
                if len(left) < len(before):  # one that has gone may have been what kept the others
                    continue
                if carried_out:
                    return _Outcome(left, doubt)
                if isinstance(doubt, ApiError) and not is_transient(doubt.status):
                    raise doubt
                await budget.spend(RequestFailed(RetryAction.RETRY, doubt), round=round)
        except WBFilesError as error:
            return _Outcome(left, error, final=True)

    async def _mutate(self, files: Sequence[FileAttributes]) -> dict[str, object]:
        api = self._api
        number = await api.project_number(self._run)
        ids: dict[str, object] = {"files": [file.id for file in files]}
        if api.names_projects:
            try:
                return await api.ask(DELETE_FILES, ids | {"projectId": number}, repeat=False)
            except ApiError as error:
                if not any("projectId" in message for message in error.messages):
                    raise
                api.names_projects = False
        return await api.ask(DELETE_FILES_WITHOUT_PROJECT, ids, repeat=False)

    async def _still_there(self, files: Sequence[FileAttributes]) -> list[FileAttributes]:
        names = tuple(dict.fromkeys(file.name for file in files))
        there: set[str] = set()
        async with aclosing(self._api.pages(self._run, names=names, per_page=len(names))) as pages:
            async for page in pages:
                there.update(file.id for file in page)
        return [file for file in files if file.id in there]

    def _account(self, file: FileAttributes, status: FileStatus, error: WBFilesError | None = None) -> None:
        result = FileResult(name=file.name, status=status, size=file.size_bytes or 0, error=error)
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
"""Files that the message of an incomplete deletion names; the report holds more."""


def _summary(run: RunPath, report: DeletionReport) -> str:
    names = ", ".join(repr(failure.name) for failure in report.failures[:NAMES_SHOWN])
    more = f" and {report.failed - NAMES_SHOWN} more" if report.failed > NAMES_SHOWN else ""
    return (
        f"{report.failed} of {report.files} files of the run {run} were not deleted, or it is not known whether they "
        f"were: {names}{more}. The first reason: {report.failures[0].error} Delete again to continue with what is left."
    )
