"""The files still to be downloaded: each is taken once, and workers begin a few at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from wbfiles_async._download.planned import PlannedFile
from wbfiles_async._download.queue import WOKEN_AT_ONCE, WorkQueue

WORKERS = 64


async def pages_of(sizes: list[int]) -> AsyncIterator[list[PlannedFile]]:
    number = 0
    for size in sizes:
        await anyio.lowlevel.checkpoint()
        yield cast(Any, list(range(number, number + size)))
        number += size


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 100), max_size=5), st.integers(1, 80), st.integers(0, 5))
async def test_each_file_is_taken_once_and_no_more_than_allowed_are_in_progress(
    sizes: list[int], at_once: int, turns: int
) -> None:
    queue, taken, in_progress, most = WorkQueue(pages_of(sizes), 8, lambda: at_once), list[object](), 0, 0

    async def work() -> None:
        nonlocal in_progress, most
        while (item := await queue.next()) is not None:
            taken.append(item)
            in_progress += 1
            most = max(most, in_progress)
            for _ in range(turns):
                await asyncio.sleep(0)
            in_progress -= 1
            queue.done()

    async with asyncio.timeout(20), anyio.create_task_group() as group:
        group.start_soon(queue.fill)
        for _ in range(WORKERS):
            group.start_soon(work)
    assert sorted(map(str, taken)) == sorted(map(str, range(sum(sizes))))
    assert most <= min(at_once, WORKERS)


async def test_workers_begin_a_few_at_a_time_and_soon_all_of_them() -> None:
    queue, begun, turn = WorkQueue(pages_of([200]), 8, lambda: WORKERS), list[int](), 0
    gate = anyio.Event()

    async def work() -> None:
        while await queue.next() is not None:
            begun.append(turn)
            await gate.wait()
            queue.done()

    async def count_turns() -> None:
        nonlocal turn
        while len(begun) < WORKERS:
            turn += 1
            await asyncio.sleep(0)
        gate.set()

    async with asyncio.timeout(20), anyio.create_task_group() as group:
        for _ in range(WORKERS):
            group.start_soon(work)
        await anyio.lowlevel.checkpoint()
        group.start_soon(queue.fill)
        group.start_soon(count_turns)
    assert max(Counter(begun[:WORKERS]).values()) <= WOKEN_AT_ONCE
