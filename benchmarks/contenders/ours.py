"""wbfiles_async, awaited.

python -m benchmarks.contenders.ours download|fetch|list verify|trust CONNECTIONS|default BASE_URL RUN ROOT
"""

from __future__ import annotations

import asyncio
import sys

import attrs

from benchmarks.contenders.reporting import Stopwatch, report
from wbfiles_async import AsyncApi, AsyncRun, TransferOptions


async def _download(run: AsyncRun, root: str) -> int:
    return (await run.download(root)).downloaded


async def _fetch(run: AsyncRun, root: str) -> int:
    files = await run.files().to_list()
    for file in files:
        await file.fetch(root)
    return len(files)


async def _list(run: AsyncRun, root: str) -> int:
    return len(await run.files().to_list())


async def _main(work: str, trust: str, connections: str, base_url: str, path: str, root: str) -> None:
    options = TransferOptions(verify=trust == "verify")
    if connections != "default":
        options = attrs.evolve(options, connections=int(connections))
    async with AsyncApi(base_url=base_url, api_key="b" * 40, options=options) as api:
        run = api.run(path)
        await run.files().count()  # as wandb.Api().run() does, ask the API once before the clock runs
        async with Stopwatch() as watch:
            files = await {"download": _download, "fetch": _fetch, "list": _list}[work](run, root)
    report(watch.seconds, stall=watch.stall, files=files)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
