"""Runs a plan: gives its chunks to workers, a few at a time, each with its share of the budget."""

from __future__ import annotations

import logging
import os
import pickle
import queue
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from wbfiles_async._async.files import check_existing
from wbfiles_async._bucket.roots import read_root
from wbfiles_async._download.layout import Layout
from wbfiles_async._messages import clean
from wbfiles_async._models import Existing
from wbfiles_async._options import ADAPTIVE, LAYOUT, OptionChanges, TransferOptions, changed
from wbfiles_async._reports import DownloadReport, FileResult, IncompleteDownloadError
from wbfiles_async._scale.budget import Budget, Grant
from wbfiles_async._scale.checks import check_whole
from wbfiles_async._scale.chunks import Chunk
from wbfiles_async._scale.engines import Engine, Handle, open_engine
from wbfiles_async._scale.place import shared_root
from wbfiles_async._scale.plan import Plan
from wbfiles_async._scale.progress import ClusterTally, shown
from wbfiles_async._scale.report import PlanReport, continued, total
from wbfiles_async._scale.worker import ChunkTask
from wbfiles_async._sync.api import Api
from wbfiles_async.errors import (
    AuthenticationError,
    ConfigurationError,
    LocalWriteError,
    NameCollisionError,
    RunNotFoundError,
    TransferError,
    UnsafePathError,
    UnsupportedReferenceError,
    WBFilesError,
)

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["run_plan"]

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Seconds between checks for new or missing workers, unless a chunk ends before."""

WAITING_SECONDS: Final = 30.0
"""Seconds without any worker until a warning."""

ERROR_LENGTH: Final = 500
"""Maximum characters of an engine's message."""

_LASTING: Final = (NameCollisionError, UnsafePathError, UnsupportedReferenceError, RunNotFoundError)
"""Failures that a retry would repeat."""

_OF_ALL: Final = (ConfigurationError, AuthenticationError)
"""Errors of a chunk that all others would have too."""


def run_plan(
    plan: Plan | str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    on: Client | Executor | None = None,
    api: Api | None = None,
    workers: int | None = None,
    layout: str = LAYOUT,
    existing: Existing = "verify",
    connections: int | None = None,
    limit_rate: int | None = None,
    api_requests: float | None = None,
    retries: int = 2,
    options: TransferOptions | None = None,
    progress: bool = False,
    raise_on_error: bool = True,
    on_chunk: Callable[[Chunk, DownloadReport], None] | None = None,
) -> PlanReport:
    """Download the files of a plan on the workers of an engine; finished chunks are skipped.

    A worker lists the runs of its chunk itself, so that URLs are fresh, and finds its own credentials: in the
    environment, an identity token or netrc, like ``AsyncApi``.

    It receives neither keys nor URLs of files. If a worker dies, its chunk is repeated; the files that it had
    downloaded are kept. When a chunk is done, its manifest is written next to the plan, one row per file. So a call
    that was interrupted, or failed in part, can simply be repeated. After an interruption (Ctrl-C), no further chunk
    starts; chunks in progress on other machines are completed by their workers.

    Args:
        plan: The plan, or its location.
        destination: The root of the files: a folder that all workers share, or a place in an object store such as
            ``s3://bucket/prefix`` (extra ``cloud``), with each worker's own credentials.
        on: The engine: a Dask ``Client`` (extra ``dask``), or an executor, such as
            ``concurrent.futures.ProcessPoolExecutor``; ``None`` (default) for this process.
        api: The client to use in this process, if ``on`` is ``None``; by default a new ``Api()``.
        workers: Simultaneous chunks. Defaults to the number of threads of Dask's workers, or of the executor's
            workers if it is known.
        layout: Folders below the destination for the files of each run, from ``{entity}``, ``{project}`` and
            ``{run}``; it must contain ``{run}``.
        existing: What to do with an existing file; see ``Api.download``.
        connections: Maximum simultaneous requests to the stores, of all workers together. By default each worker
            adapts on its own, up to 128.
        limit_rate: Maximum bytes per second of all workers together. ``None`` (default) for no limit.
        api_requests: Maximum requests per second to the API, of all workers together. ``None`` (default) for only
            the server's own limits, which each worker respects.
        retries: Maximum retries of a chunk in which files failed or whose worker died.
        options: Other options of transfers; defaults to those of ``api``, if given.
        progress: Whether to show the progress of all workers, as in ``Api.download``; Dask's dashboard shows the
            chunks too, as ``wbfiles-chunk``.
        raise_on_error: Whether to raise if files failed, after the others are done.
        on_chunk: Called with each chunk and its result, in the calling thread.

    Returns:
        The report.

    Raises:
        IncompleteDownloadError: Files or chunks failed; it has the report.
        ConfigurationError: An argument cannot be used, there is no plan, or the workers are not configured for it.
        AuthenticationError: A worker's credentials are not accepted.
        LocalWriteError: The destination cannot be created.
    """
    check_existing(existing)
    check_whole("retries", retries, least=0)
    if "{run}" not in Layout(layout).text:
        raise ConfigurationError(f"layout={layout!r} would mix the files of different runs; {{run}} must be in it.")
    own = TransferOptions() if api is None else api._async._gateway.options
    given = _with_budget(options or own, connections, limit_rate, api_requests)
    engine = open_engine(on, api, workers)
    found = plan if isinstance(plan, Plan) else Plan.read(plan)
    root = shared_root(destination, "destination")
    _make_folder(root)
    budget = Budget(
        connections=None if given.connections == "adaptive" else int(given.connections),
        limit_rate=given.limit_rate,
        api_requests=given.api_requests,
    )

    def task_of(chunk: Chunk, attempt: int, grant: Grant) -> ChunkTask:
        return ChunkTask(
            plan=attrs.evolve(found, chunks=()),
            chunk=chunk,
            destination=root,
            layout=layout,
            # Files of an earlier attempt do not count as existing.
            existing="verify" if existing == "error" and attempt else existing,
            options=attrs.evolve(
                given,
                connections=grant.connections or ADAPTIVE,
                limit_rate=grant.limit_rate,
                api_requests=grant.api_requests,
                remember=False,  # replaced by the manifests
            ),
        )

    started = time.monotonic()
    left = found.left()
    tally = ClusterTally(len(found.chunks), len(found.chunks) - len(left))
    run = _Run(engine, budget, task_of, tally, retries, on_chunk, deque((chunk, 0) for chunk in left))
    with engine.listening(found.id, tally.record), shown(tally, wanted=progress):
        run.to_the_end()
    report = run.report(found, len(left), root, time.monotonic() - started)
    if isinstance(report.stopped, _OF_ALL):
        raise report.stopped
    if raise_on_error and (report.failed or report.stopped):
        raise IncompleteDownloadError(_summary(report), report=report) from report.stopped
    return report


def _summary(report: PlanReport) -> str:
    """Return a message about what is left of a plan, and why."""
    first = report.failures[0] if report.failures else None
    why = "" if first is None else f": {f'{first.run}: ' if first.name else ''}{str(first.error).rstrip('.')}"
    others = f", and {report.failed - 1} more" if report.failed > 1 else ""
    end = f" The work ended there: {report.stopped}" if report.stopped and str(report.stopped) not in why else ""
    return (
        f"{report.chunks_left} of {report.chunks} chunks are left; {report.failed} of {report.files} files could not "
        f"be downloaded to {report.root}{why}{others}.{end} What is done is in place; call again to continue with the "
        "rest. The report lists each failure."
    )


def _with_budget(
    options: TransferOptions, connections: int | None, limit_rate: int | None, api_requests: float | None
) -> TransferOptions:
    stated: OptionChanges = {}
    if connections is not None:
        stated["connections"] = connections
    if limit_rate is not None:
        stated["limit_rate"] = limit_rate
    if api_requests is not None:
        stated["api_requests"] = api_requests
    return changed(options, stated)


def _make_folder(root: str) -> None:
    path = read_root(root)
    if not isinstance(path, Path):
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{path} cannot be made: {error.strerror}."
        raise LocalWriteError(message, errno=error.errno, path=path) from error


@attrs.define(eq=False)
class _Run:
    """The execution of a plan."""

    engine: Engine
    budget: Budget
    task_of: Callable[[Chunk, int, Grant], ChunkTask]
    tally: ClusterTally
    retries: int
    on_chunk: Callable[[Chunk, DownloadReport], None] | None
    pending: deque[tuple[Chunk, int]]
    running: dict[Handle, tuple[Chunk, int, Grant]] = attrs.field(factory=dict, init=False)
    ended: queue.SimpleQueue[Handle] = attrs.field(factory=queue.SimpleQueue, init=False)
    reports: dict[int, DownloadReport] = attrs.field(factory=dict, init=False)
    done: set[int] = attrs.field(factory=set, init=False)
    stopped: WBFilesError | None = attrs.field(default=None, init=False)

    def to_the_end(self) -> None:
        """Run all remaining chunks, or stop at an error that concerns all."""
        seen = time.monotonic()
        try:
            while self.running or (self.pending and self.stopped is None):
                try:
                    under_way = self.begin_what_can()
                except OSError as error:  # the engine is no longer reachable
                    self.stopped = _broken(error)
                    return
                if under_way:
                    seen = time.monotonic()
                elif time.monotonic() - seen >= WAITING_SECONDS:
                    seen = time.monotonic()
                    log.warning("No worker takes chunks; %d of them wait", len(self.pending))
                with suppress(queue.Empty):
                    self.end(self.ended.get(timeout=LOOK_SECONDS))
        finally:
            for handle in self.running:
                handle.cancel()

    def begin_what_can(self) -> bool:
        """Submit as many chunks as there are free workers and budget for; return whether any is in progress."""
        self.tally.workers = workers = self.engine.workers()
        while self.pending and self.stopped is None and len(self.running) < workers:
            grant = self.budget.grant(min(workers - len(self.running), len(self.pending)))
            if grant is None:
                break
            chunk, attempt = self.pending.popleft()
            self.tally.begin(chunk)
            try:
                handle = self.engine.submit(self.task_of(chunk, attempt, grant), attempt)
            except (BrokenExecutor, RuntimeError) as error:  # the latter from an executor that was shut down
                self.pending.appendleft((chunk, attempt))
                self.budget.release(grant)
                self.stopped = _broken(error)
                break
            self.running[handle] = (chunk, attempt, grant)
            handle.add_done_callback(self.ended.put)
        return bool(self.running)

    def end(self, handle: Handle) -> None:
        """Record the result of an attempt, and retry if that may help."""
        chunk, attempt, grant = self.running.pop(handle)
        self.budget.release(grant)
        report, again = self.outcome_of(handle, chunk)
        self.tally.end(chunk, report.files, report.bytes - report.resumed_bytes, report.failed)
        self.reports[chunk.number] = report = continued(self.reports.get(chunk.number), report)
        if report.failed and again and attempt < self.retries and self.stopped is None:
            log.info("Chunk %d: %d of %d files failed; another attempt", chunk.number, report.failed, report.files)
            self.pending.append((chunk, attempt + 1))
            return
        if not (report.failed or report.skipped):
            self.done.add(chunk.number)
        self.tally.settle(failed=chunk.number not in self.done)
        if self.on_chunk is not None:
            self.on_chunk(chunk, report)

    def outcome_of(self, handle: Handle, chunk: Chunk) -> tuple[DownloadReport, bool]:
        """Return the result of an attempt, and whether a retry may help."""
        try:
            result = handle.result()
        except (BrokenExecutor, CancelledError) as error:
            self.stopped = self.stopped or _broken(error)
            return _failed(chunk, self.stopped), False
        except (ImportError, pickle.PickleError) as error:
            self.stopped = ConfigurationError(
                f"The workers cannot work on a chunk ({_message_of(error)}). Install the same version of wbfiles-async "
                "there, with the same extras."
            )
            return _failed(chunk, self.stopped), False
        except Exception as error:  # of the engine, such as a worker that died again and again
            return _failed(chunk, TransferError(f"chunk {chunk.number}: {_message_of(error)}")), True
        if result.error is not None:
            if isinstance(result.error, _OF_ALL):
                self.stopped = result.error
            return _failed(chunk, result.error), not isinstance(result.error, _OF_ALL)
        report = result.report
        self.stopped = self.stopped or report.stopped
        lasting = len(report.failures) == report.failed and all(
            isinstance(failure.error, _LASTING) for failure in report.failures
        )
        return report, not lasting and report.stopped is None

    def report(self, plan: Plan, left: int, root: str, seconds: float) -> PlanReport:
        """Return the report of all."""
        summed = total(self.reports.values())
        fields = {field.name: getattr(summed, field.name) for field in attrs.fields(DownloadReport)}
        fields |= {"root": root, "seconds": seconds, "stopped": self.stopped}
        failed = sum(number not in self.done for number in self.reports)
        return PlanReport(
            **fields,
            chunks=len(plan.chunks),
            chunks_done=len(self.done),
            chunks_before=len(plan.chunks) - left,
            chunks_failed=failed,
        )


def _failed(chunk: Chunk, error: WBFilesError) -> DownloadReport:
    """Return the report of a chunk that could not run: one failure, without a file name."""
    failure = FileResult(name="", status="failed", error=error, run=f"chunk {chunk.number}")
    return DownloadReport(root="", files=1, failed=1, failures=(failure,))


def _broken(error: BaseException) -> TransferError:
    return TransferError(
        f"the engine takes no more work ({_message_of(error)}): it was shut down, or, as a pool of Python's own, lost "
        "one of its workers. Call again with a new one; Dask replaces workers that die."
    )


def _message_of(error: BaseException) -> str:
    """Return an engine's error message, without secrets."""
    return f"{type(error).__name__}: {clean(str(error), ERROR_LENGTH)}"
