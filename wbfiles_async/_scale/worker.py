"""The work of a worker: downloads the runs of one chunk and writes its manifest."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, cast

import attrs

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._bucket.roots import BucketRoot, read_root
from wbfiles_async._disk.machine import host
from wbfiles_async._download.layout import Layout
from wbfiles_async._download.manifest import decode_manifest, encode_manifest, row_of
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.runs_page import ListedRun
from wbfiles_async._models import Existing, RunPath
from wbfiles_async._options import OptionChanges, TransferOptions
from wbfiles_async._reports import DownloadReport, FileResult
from wbfiles_async._scale.chunks import Chunk, incomplete_name, part_name
from wbfiles_async._scale.place import open_place
from wbfiles_async._scale.plan import PLAN_NAME, Plan
from wbfiles_async._scale.report import of_rows
from wbfiles_async._sync.api import Api
from wbfiles_async._sync.portal import run_blocking
from wbfiles_async.errors import ConfigurationError, WBFilesError

__all__ = ["ChunkResult", "ChunkTask", "Event", "run_chunk", "topic_of"]

E = TypeVar("E", bound=WBFilesError)

EVENT_SECONDS: Final = 1.0
"""Seconds between progress messages of a worker."""


@attrs.frozen(kw_only=True)
class ChunkTask:
    """The task of one chunk, as sent to a worker. Contains no keys and no URLs of files.

    Attributes:
        plan: The plan, without its chunks.
        chunk: The chunk.
        destination: The root: a folder, or a place in an object store.
        layout: The folders of each run's files below it.
        existing: What to do with an existing file.
        options: The options of transfers, with this chunk's share of the cluster's budget.
    """

    plan: Plan
    chunk: Chunk
    destination: str
    layout: str
    existing: Existing
    options: TransferOptions


@attrs.frozen(kw_only=True)
class ChunkResult:
    """The result of a chunk.

    Attributes:
        report: The report; empty if it ended with an error.
        error: The error that ended it.
    """

    report: DownloadReport = DownloadReport(root="")  # noqa: RUF009  # it is frozen
    error: WBFilesError | None = None


@attrs.frozen
class Event:
    """The progress of a worker.

    Attributes:
        number: The number of the chunk.
        files: The number of files that have ended.
        bytes: Bytes that have arrived.
    """

    number: int
    files: int
    bytes: int


def topic_of(plan: str) -> str:
    """Return the topic of the progress events of a plan's workers at Dask's scheduler."""
    return f"wbfiles-{plan}"


def run_chunk(task: ChunkTask, api: Api | None = None, on_event: Callable[[Event], None] | None = None) -> ChunkResult:
    """Download the runs of a chunk.

    Args:
        task: The task.
        api: The client; by default this process's own, with its credentials.
        on_event: Called with the progress; by default logs an event if this is a worker of Dask.
    """
    try:
        return ChunkResult(report=_without_causes(_run(task, api, on_event or _dask_listener(task.plan.id))))
    except WBFilesError as error:
        return ChunkResult(error=_bare(error))


def _bare(error: E) -> E:
    made = type(error).__new__(type(error))
    made.__dict__.update(error.__dict__)
    made.args = error.args
    return made


def _without_causes(report: DownloadReport) -> DownloadReport:
    """Return the report with errors without their causes, which may contain requests."""
    failures = tuple(
        attrs.evolve(failure, error=None if failure.error is None else _bare(failure.error))
        for failure in report.failures
    )
    stopped = None if report.stopped is None else _bare(report.stopped)
    return attrs.evolve(report, failures=failures, stopped=stopped)


def _run(task: ChunkTask, api: Api | None, on_event: Callable[[Event], None] | None) -> DownloadReport:
    plan, number = task.plan, task.chunk.number
    place = open_place(plan.at)
    names = place.names()
    if PLAN_NAME not in names:
        raise ConfigurationError(
            f"The plan is not found in {plan.at} on the worker {_here()}: that folder must be one that all workers "
            "share. Or give a place in an object store."
        )
    kind = plan.report_format
    whole, incomplete = part_name(plan.id, number, kind), incomplete_name(plan.id, number, kind)
    if whole in names:  # by a worker that died before it could report that
        return of_rows(decode_manifest(place.read(whole) or b"", whole))
    root = read_root(task.destination)
    if isinstance(root, Path) and not root.is_dir():
        raise ConfigurationError(
            f"{task.destination} does not exist on the worker {_here()}: it must be a folder that all workers share. "
            "Or give a place in an object store."
        )
    client = (api or _client(plan.base_url)).with_options(**cast(OptionChanges, attrs.asdict(task.options)))
    results: list[FileResult] = []
    report = run_blocking(partial(_download, client._async, task, root, results, on_event))
    content = encode_manifest(map(row_of, results), f".{kind}")
    if report.failed or report.skipped:
        place.write(incomplete, content)
    else:
        place.write(whole, content)
        if incomplete in names:
            place.remove(incomplete)
    return attrs.evolve(report, root=task.destination)


async def _download(
    api: AsyncApi,
    task: ChunkTask,
    root: Path | BucketRoot,
    results: list[FileResult],
    on_event: Callable[[Event], None] | None,
) -> DownloadReport:
    gateway, selection = api._gateway, Selection(task.plan.include, task.plan.exclude)
    entity, project = task.plan.project.split("/")
    paths = [RunPath(entity, project, run) for run in task.chunk.runs]
    progress = None if on_event is None else _Meter(task.chunk.number, on_event)

    def note(result: FileResult) -> None:
        results.append(result)
        if progress is not None:
            progress.ended()

    async def listed() -> AsyncGenerator[Sequence[ListedRun]]:
        if task.chunk.part is not None:
            yield [ListedRun(path, part=task.chunk.part) for path in paths]
            return
        async with aclosing(gateway.named_runs(paths, selection)) as pages:
            async for page in pages:
                yield page

    return await gateway.download_many(
        listed(),
        root,
        layout=Layout(task.layout),
        selection=selection,
        existing=task.existing,
        dry_run=False,
        progress=progress,
        on_result=note,
    )


class _Meter:
    """Counts received bytes, and reports them periodically; a ``Progress`` object for a download."""

    def __init__(self, number: int, on_event: Callable[[Event], None]) -> None:
        self._number, self._on_event = number, on_event
        self._files = self._bytes = 0
        self._reported_at = time.monotonic()

    def started(self, name: str, total: int | None) -> None:
        pass

    def advanced(self, name: str, count: int) -> None:
        self._bytes += count
        self._report()

    def finished(self, name: str) -> None:
        pass

    def failed(self, name: str, error: Exception) -> None:
        pass

    def ended(self) -> None:
        self._files += 1
        self._report()

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported_at >= EVENT_SECONDS:
            self._reported_at = now
            self._on_event(Event(self._number, self._files, self._bytes))


def _dask_listener(plan: str) -> Callable[[Event], None] | None:
    """Return a function that reports this worker's progress to Dask; ``None`` if this is not a worker of Dask."""
    if "distributed.worker" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return None
    return lambda event: worker.log_event(topic_of(plan), attrs.asdict(event))


_clients: dict[tuple[int, str], Api] = {}
_lock = threading.Lock()
"""Held while a client is made. A process has one per server, for any number of chunks."""


def _client(base_url: str) -> Api:
    with _lock:
        key = (os.getpid(), base_url)
        if key not in _clients:
            api = Api()
            here = api._async._gateway.settings.base_url
            if here != base_url:
                api.close()
                raise ConfigurationError(
                    f"The plan is of {base_url}, and the worker {_here()} is set up for {here}. Its key is sent to no "
                    "server that a plan names: set WANDB_BASE_URL there, or `wandb login --host`."
                )
            _clients[key] = api
        return _clients[key]


def _here() -> str:
    return f"{host()}, process {os.getpid()}"


def _forget_parent() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
