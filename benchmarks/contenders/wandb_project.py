"""W&B's own client in a thread pool: each thread lists the files of a run and downloads them.

python -m benchmarks.contenders.wandb_project THREADS BASE_URL PROJECT ROOT
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import wandb
from wandb.apis.public import Run

from benchmarks.contenders.reporting import Stopwatch, report


def _main(threads: int, base_url: str, path: str, root: str) -> None:
    os.environ["WANDB_BASE_URL"] = base_url
    runs = wandb.Api(api_key="b" * 40).runs(path.strip("/"), per_page=50)

    def download(run: Run) -> int:
        done = 0
        for file in run.files():
            with file.download(os.path.join(root, run.id), replace=True) as opened:
                done += opened.readable()
        return done

    with Stopwatch() as watch, ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(download, runs))
    report(watch.seconds, files=done)


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
