"""W&B's own client in a thread pool: sums up the sizes of the files of all runs of a project.

python -m benchmarks.contenders.wandb_overview THREADS BASE_URL PROJECT ROOT
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
    api = wandb.Api(api_key="b" * 40)
    runs = api.runs(path.strip("/"), per_page=50)

    def look(run: Run) -> tuple[int, int]:
        sizes = [file.size for file in run.files(per_page=1000)]
        return len(sizes), sum(sizes)

    with Stopwatch() as watch, ThreadPoolExecutor(threads) as pool:
        done = sum(files for files, _ in pool.map(look, runs))
    report(watch.seconds, files=done)


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
