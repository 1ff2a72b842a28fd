"""W&B's own client, used as documented: ``run.upload_file`` for each file of a folder.

python -m benchmarks.contenders.wandb_upload THREADS BASE_URL RUN FOLDER
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import wandb

from benchmarks.contenders.reporting import Stopwatch, report


def _main(threads: int, base_url: str, path: str, folder: str) -> None:
    os.environ["WANDB_BASE_URL"] = base_url
    run = wandb.Api(api_key="b" * 40).run(path)
    paths = sorted(map(str, Path(folder).iterdir()))

    def upload(path: str) -> bool:
        return bool(run.upload_file(path, root=folder).name)

    with Stopwatch() as watch:
        if threads == 1:
            done = sum(map(upload, paths))
        else:
            with ThreadPoolExecutor(threads) as pool:
                done = sum(pool.map(upload, paths))
    report(watch.seconds, files=done)


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
