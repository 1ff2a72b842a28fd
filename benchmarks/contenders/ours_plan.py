"""wbfiles_async on several workers: make or run a plan of a project.

python -m benchmarks.contenders.ours_plan plan|pool|dask WORKERS CONNECTIONS BASE_URL PROJECT ROOT

``pool`` is a pool of processes, ``dask`` a local cluster of processes, each of one thread; both are warm before the
clock starts. ``CONNECTIONS`` are those of each worker.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.reporting import Stopwatch, report
from wbfiles_async import Api
from wbfiles_async.scale import Plan, run_plan

if TYPE_CHECKING:
    from distributed import Client

RUNS_PER_CHUNK = 5


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_ready) as pool:
        list(pool.map(time.sleep, [0.5] * workers))  # so that each of them has begun
        yield pool


@contextmanager
def _cluster(workers: int) -> Iterator[Client]:
    distributed: Any = import_module("distributed")  # its classes state no types
    settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        client.run(_ready)
        yield client


def _ready() -> None:
    import wbfiles_async.scale  # noqa: F401


def _main(work: str, workers: int, connections: int, base_url: str, path: str, root: str) -> None:
    os.environ.update(WANDB_BASE_URL=base_url, WANDB_API_KEY="b" * 40)
    with tempfile.TemporaryDirectory() as at, Api() as api:
        api.runs(path).count()  # one request to the API before the clock starts, like wandb.Api()
        if work == "plan":
            with Stopwatch() as watch:
                plan = Plan.make(api, path, at=at)
            report(watch.seconds, files=plan.files)
            return
        with (_pool if work == "pool" else _cluster)(workers) as on, Stopwatch() as watch:
            plan = Plan.make(api, path, at=at, runs_per_chunk=RUNS_PER_CHUNK)
            done = run_plan(plan, root, on=on, connections=connections * workers)
        report(watch.seconds, files=done.downloaded)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
