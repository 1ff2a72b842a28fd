"""wbfiles_async with await: all runs of a project, or that many of its runs, given as a list of paths.

python -m benchmarks.contenders.ours_project all|COUNT BASE_URL PROJECT ROOT
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.contenders.reporting import Stopwatch, report
from benchmarks.data import run_name_of
from wbfiles_async import AsyncApi


async def _main(which: str, base_url: str, path: str, root: str) -> None:
    async with AsyncApi(base_url=base_url, api_key="b" * 40) as api:
        runs = api.runs(path)
        await runs.count()  # one request to the API before the clock starts, like wandb.Api()
        async with Stopwatch() as watch:
            if which == "all":
                done = await runs.download(root)
            else:
                done = await api.download([path + run_name_of(number) for number in range(int(which))], root)
    report(watch.seconds, stall=watch.stall, files=done.downloaded)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
