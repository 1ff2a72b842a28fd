"""wbfiles_async with await: the contents of a project, without downloads.

python -m benchmarks.contenders.ours_overview du|files|delete|SHARDS BASE_URL PROJECT ROOT
"""

from __future__ import annotations

import asyncio
import sys

import attrs

from benchmarks.contenders.reporting import Stopwatch, report
from wbfiles_async import AsyncApi, AsyncRuns
from wbfiles_async._cli.chosen import Chosen
from wbfiles_async._cli.output import Output
from wbfiles_async._cli.usage import Usage, show_usage
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.shares import Share


async def _main(work: str, base_url: str, path: str, root: str) -> None:
    async with AsyncApi(base_url=base_url, api_key="b" * 40) as api:
        runs = api.runs(path)
        expected = await runs.count()  # one request to the API before the clock starts, like wandb.Api()
        async with Stopwatch() as watch:
            done = await _look(runs, work)
    report(watch.seconds, stall=watch.stall, files=done if expected else None)


async def _look(runs: AsyncRuns, work: str) -> int:
    match work:
        case "du":
            return await _summed_up(runs)
        case "files":
            return sum([1 async for _ in runs.files()])
        case "delete":
            return (await runs.delete(include=["f*.bin", "media/*"], dry_run=True)).planned
        case _:
            count = int(work)
            shares = [attrs.evolve(runs, share=Share(number, count)) for number in range(count)]
            return sum([sum([1 async for _ in share.files()]) for share in shares])


async def _summed_up(runs: AsyncRuns) -> int:
    """Run ``wbfiles du PROJECT/ --by pattern``; the last line of its output has the number of files."""
    lines: list[str] = []
    written, sys.stdout.write = sys.stdout.write, lines.append  # type: ignore[method-assign]
    try:
        await show_usage(runs, Chosen((), None, Selection()), Output(), Usage("pattern", 1))
    finally:
        sys.stdout.write = written  # type: ignore[method-assign]
    return int("".join(lines).splitlines()[-1].split("\t")[1])


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
