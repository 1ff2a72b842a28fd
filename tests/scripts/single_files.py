"""Fetches small files one by one and exits in some way without closing the client: SCENARIO ROOT."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from wbfiles_async import Api, AsyncApi, TransferOptions
from wbfiles_async.testing import LocalServer

RUN = "team/project/run"
KEY = "k" * 40

root = Path(sys.argv[2])
for number in range(8):
    stored = root / "server" / RUN / f"{number}.txt"
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_bytes(b"content" * 100)


async def fetch_some(api: AsyncApi) -> None:
    """Fetch some of the files concurrently, and leave while the connections wait."""
    files = await api.run(RUN).files().to_list()
    await asyncio.gather(*(file.fetch(root / "there") for file in files[:4]))
    print("fetched", flush=True)


def run(base_url: str, end: Callable[[Coroutine[object, object, None]], None]) -> None:
    """Fetch with a client that is never closed."""
    api = AsyncApi(base_url=base_url, api_key=KEY, options=TransferOptions(connections=2))
    end(fetch_some(api))
    kept.append(api)


def close_loop(work: Coroutine[object, object, None]) -> None:
    """Run the work in a loop that is closed as it is."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(work)
    loop.close()


def leave(base_url: str) -> None:
    """Leave the interpreter while connections wait."""
    api = Api(base_url=base_url, api_key=KEY)
    for file in api.run(RUN).files():
        file.fetch(root / "there")
    kept.append(api)
    print("fetched", flush=True)


def fork(base_url: str) -> None:
    """Fork while connections wait: parent and child both continue."""
    api = Api(base_url=base_url, api_key=KEY)
    files = list(api.run(RUN).files())
    for file in files[:4]:
        file.fetch(root / "there")
    child = os.fork()
    if child == 0:
        for file in files[4:]:
            file.fetch(root / "child")
        sys.exit()
    for file in files[4:]:
        file.fetch(root / "there")
    _, status = os.waitpid(child, 0)
    there = sorted(path.name for path in (root / "child").iterdir())
    if os.waitstatus_to_exitcode(status) == 0 and there == [f"{number}.txt" for number in range(4, 8)]:
        print("fetched", flush=True)


kept: list[object] = []
"""Kept until the interpreter ends."""

if __name__ == "__main__":
    with LocalServer(root / "server", api_key=KEY) as server:
        match sys.argv[1]:
            case "asyncio.run":
                run(server.base_url, asyncio.run)
            case "loop.close":
                run(server.base_url, close_loop)
            case "exit":
                leave(server.base_url)
            case _:
                fork(server.base_url)
