"""W&B's own client, used as documented, with 1,000 files per page or its default.

python -m benchmarks.contenders.wandb_client download|verify|list THREADS PER_PAGE BASE_URL RUN ROOT
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import wandb
from wandb.apis.public import File

from benchmarks.contenders.reporting import Stopwatch, report


def _is_right(file: File, path: str) -> bool:
    with open(path, "rb") as opened:
        digest = hashlib.file_digest(opened, "md5")
    return bool(base64.b64encode(digest.digest()).decode() == file.md5)


def _main(work: str, threads: int, per_page: int, base_url: str, path: str, root: str) -> None:
    os.environ["WANDB_BASE_URL"] = base_url
    run = wandb.Api(api_key="b" * 40).run(path)
    files = run.files(per_page=per_page)

    def download(file: File) -> bool:
        with file.download(root, replace=True) as opened:
            return _is_right(file, opened.name) if work == "verify" else opened.readable()

    with Stopwatch() as watch:
        if work == "list":
            done = len(list(files))
        elif threads == 1:
            done = sum(map(download, files))
        else:
            with ThreadPoolExecutor(threads) as pool:
                done = sum(pool.map(download, files))
    report(watch.seconds, files=done)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
