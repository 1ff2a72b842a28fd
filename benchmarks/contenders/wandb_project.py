"""W&B's own client in a thread pool: each thread lists the files of a run and downloads them.

All runs of a project, or that many of its runs, each by its path.

python -m benchmarks.contenders.wandb_project THREADS all|COUNT BASE_URL PROJECT ROOT
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import wandb
from wandb.apis.public import Run

from benchmarks.contenders.reporting import Stopwatch, report
from benchmarks.data import run_name_of


def _main(threads: int, which: str, base_url: str, path: str, root: str) -> None:
    os.environ["WANDB_BASE_URL"] = base_url
    api = wandb.Api(api_key="b" * 40)
    paths = [] if which == "all" else [path + run_name_of(number) for number in range(int(which))]
    runs = paths or api.runs(path.strip("/"), per_page=50)

    def download(named: Run | str) -> int:
        done, run = 0, api.run(named) if isinstance(named, str) else named
        for file in run.files():
            with file.download(os.path.join(root, run.id), replace=True) as opened:
                done += opened.readable()
        return done

    with Stopwatch() as watch, ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(download, runs))
    report(watch.seconds, files=done)


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
