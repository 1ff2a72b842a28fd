"""A client written in ten minutes: httpx, sixteen at a time, directly into the file, nothing verified.

python -m benchmarks.contenders.plain_httpx URLS ROOT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx

from benchmarks.contenders.reporting import Stopwatch, report

_AT_ONCE = 16


async def _main(urls: Path, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    limit = asyncio.Semaphore(_AT_ONCE)

    async def download(url: str) -> None:
        async with limit, client.stream("GET", url) as response:
            response.raise_for_status()
            with (root / httpx.URL(url).path.rpartition("/")[2]).open("wb") as file:
                async for piece in response.aiter_raw():
                    file.write(piece)

    listed = urls.read_text().split()
    async with httpx.AsyncClient() as client, Stopwatch() as watch, asyncio.TaskGroup() as group:
        for url in listed:
            group.create_task(download(url))
    report(watch.seconds, stall=watch.stall, files=len(listed))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), Path(sys.argv[2])))
