"""Downloads a run with few descriptors: `many_files.py BASE_URL KEY ROOT`; prints how many files arrived."""

from __future__ import annotations

import asyncio
import resource
import sys

from wbfiles_async import AsyncApi

DESCRIPTORS = 64


async def main(base_url: str, key: str, root: str) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    async with AsyncApi(base_url=base_url, api_key=key) as api:
        report = await api.run("team/project/run1").download(root)
    print(report.downloaded, report.failed)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
