"""wbfiles_async without await: the whole run in one call, or one call per file, from one thread or many.

python -m benchmarks.contenders.ours_blocking download|fetch THREADS BASE_URL RUN ROOT
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from benchmarks.contenders.reporting import Stopwatch, report
from wbfiles_async import Api, Run


def _download(run: Run, root: str, threads: int) -> int:
    return run.download(root).downloaded


def _fetch(run: Run, root: str, threads: int) -> int:
    if threads == 1:
        return sum(file.fetch(root).exists() for file in run.files())
    with ThreadPoolExecutor(threads) as pool:
        return len(list(pool.map(lambda file: file.fetch(root), run.files())))


def _main(work: str, threads: str, base_url: str, path: str, root: str) -> None:
    with Api(base_url=base_url, api_key="b" * 40) as api:
        run = api.run(path)
        run.files().count()  # one request to the API before the clock starts, like wandb.Api().run()
        with Stopwatch() as watch:
            files = {"download": _download, "fetch": _fetch}[work](run, root, int(threads))
    report(watch.seconds, files=files)


if __name__ == "__main__":
    _main(*sys.argv[1:])
