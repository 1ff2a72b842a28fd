"""Short file work: together in one thread, or in several threads on a disk with latency."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from wbfiles_async import _waiting
from wbfiles_async._disk.executor import Disk
from wbfiles_async._waiting import LONG_WAIT, MANY_THREADS


async def test_short_work_waits_at_the_same_time_on_a_disk_with_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_waiting, "_LOCK_WAIT", 1e9)  # independent of other work on the machine
    disk, meeting = Disk(), threading.Barrier(MANY_THREADS, timeout=10)
    for _ in range(8):
        await disk.run_batched(time.sleep, 3 * LONG_WAIT)
    await asyncio.gather(*(disk.run_batched(meeting.wait) for _ in range(MANY_THREADS)))
    disk.close()


async def test_short_work_shares_a_thread_elsewhere() -> None:
    disk = Disk()
    threads = await asyncio.gather(*(disk.run_batched(threading.get_ident) for _ in range(100)))
    assert len(set(threads)) <= 2
    disk.close()
