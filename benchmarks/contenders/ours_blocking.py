"""wbfiles_async without await: the whole run in one call, or each file by itself from many threads.

python -m benchmarks.contenders.ours_blocking THREADS BASE_URL RUN ROOT
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from benchmarks.contenders.reporting import Stopwatch, report
from wbfiles_async import Api, Run


def _in_one_call(run: Run, root: str) -> int:
    return run.download(root).downloaded


def _in_threads(run: Run, root: str, threads: int) -> int:
    with ThreadPoolExecutor(threads) as pool:
        return len(list(pool.map(lambda file: file.fetch(root), run.files())))


def _main(threads: int, base_url: str, path: str, root: str) -> None:
    with Api(base_url=base_url, api_key="b" * 40) as api:
        run = api.run(path)
        run.files().count()  # as wandb.Api().run() does, ask the API once before the clock runs
        with Stopwatch() as watch:
            files = _in_one_call(run, root) if threads == 1 else _in_threads(run, root, threads)
    report(watch.seconds, files=files)


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
