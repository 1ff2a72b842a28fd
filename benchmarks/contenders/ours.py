"""wbfiles_async with await.

python -m benchmarks.contenders.ours download|again|fetch|list|upload|upload_file OPTIONS_JSON BASE_URL RUN ROOT

``ROOT`` is the folder to download to or upload from.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from benchmarks.contenders.reporting import Stopwatch, report
from wbfiles_async import AsyncApi, AsyncRun, TransferOptions


async def _download(run: AsyncRun, root: str) -> int:
    return (await run.download(root)).downloaded


async def _again(run: AsyncRun, root: str) -> int:
    return (await run.download(root)).kept


async def _fetch(run: AsyncRun, root: str) -> int:
    files = await run.files().to_list()
    for file in files:
        await file.fetch(root)
    return len(files)


async def _list(run: AsyncRun, root: str) -> int:
    return len(await run.files().to_list())


async def _upload(run: AsyncRun, root: str) -> int:
    return (await run.upload(root, root)).verified


async def _upload_unverified(run: AsyncRun, root: str) -> int:
    return (await run.upload(root, root)).uploaded


async def _upload_file(run: AsyncRun, root: str) -> int:
    return len([await run.upload_file(path, root) for path in sorted(Path(root).iterdir())])


_WORK = {
    "download": _download,
    "again": _again,
    "fetch": _fetch,
    "list": _list,
    "upload": _upload,
    "upload_unverified": _upload_unverified,
    "upload_file": _upload_file,
}


async def _main(work: str, options: str, base_url: str, path: str, root: str) -> None:
    given = TransferOptions(**json.loads(options))
    async with AsyncApi(base_url=base_url, api_key="b" * 40, options=given) as api:
        run = api.run(path)
        await run.files().count()  # one request to the API before the clock starts, like wandb.Api().run()
        if work == "again":
            await run.download(root)
        async with Stopwatch() as watch:
            files = await _WORK[work](run, root)
    report(watch.seconds, stall=watch.stall, files=files)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
