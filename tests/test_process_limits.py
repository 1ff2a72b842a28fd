"""Scarce or unreliable resources: descriptors, memory with a slow disk, locks."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from scripted_server import Answer, Program, ScriptedServer, Seen, Stored, client, remote, temporaries
from scripted_server import server as server
from systems import before_each_write

from wbfiles_async import DestinationExistsError, LocalWriteError
from wbfiles_async._disk import locks
from wbfiles_async.testing import LocalServer

MIB = 1 << 20


@pytest.mark.fault(100)
def test_few_descriptors_suffice_for_many_files(wandb_server: LocalServer, tmp_path: Path) -> None:
    count = 500
    for number in range(count):
        wandb_server.add_file("team/project/run1", f"{number % 7}/{number}.txt", b"%d" % number)
    command = [sys.executable, str(Path(__file__).parent / "scripts" / "many_files.py")]
    command += [wandb_server.base_url, wandb_server.api_key, str(tmp_path / "root")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.split() == [str(count), "0"], done.stderr
    assert len([*(tmp_path / "root").rglob("*.txt")]) == count


@pytest.mark.fault(101)
async def test_memory_does_not_grow_with_the_file_size_on_a_slow_disk(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def peak(size: int) -> int:
        node = server.put("a", bytes(size))
        # Small parts: the server holds each as a whole, in the same process.
        async with client(server, connections=4, part_size=MIB, stall_seconds=30) as api:
            tracemalloc.start()
            try:
                await remote(api, node).fetch(tmp_path, replace=True)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    before_each_write(monkeypatch, lambda *_: time.sleep(0.002))  # the disk is what is slow
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # pytest keeps what is logged
    assert await peak(96 * MIB) < await peak(24 * MIB) + 8 * MIB


def grant(_: int) -> None:
    pass


def refuse(_: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.fault(97, 98)
@pytest.mark.parametrize("lock", [grant, refuse], ids=["locks nothing", "refuses"])
@pytest.mark.parametrize("size", [5000, 3 * MIB])
async def test_concurrent_downloads_of_one_file_mix_nothing_without_locks(
    server: ScriptedServer, tmp_path: Path, lock: Callable[[int], None], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that both get the lock may remove each other's unfinished file, and fail with that error."""
    locked, both = list[int](), asyncio.Barrier(2)

    def recorded(file: int) -> None:
        locked.append(file)
        lock(file)

    monkeypatch.setattr(locks, "_lock", recorded)
    contents = [bytes([n]) * size for n in (1, 2)]

    def together(data: bytes) -> Program:
        async def answer(seen: Seen) -> Answer:
            await both.wait()
            return Stored(data)(seen)

        return answer

    nodes = [
        server.put(str(n), data, together(data), Stored(data)) | {"name": "same"} for n, data in enumerate(contents)
    ]
    async with client(server, part_size=MIB) as one, client(server, part_size=MIB) as two, asyncio.timeout(30):
        files = [remote(one, nodes[0]), remote(two, nodes[1])]
        ends = [
            await asyncio.gather(*(file.fetch(root, replace=replace) for file in files), return_exceptions=True)
            for root, replace in ((tmp_path, True), (tmp_path / "new", False))
        ]
    errors = [[type(end) for end in pair if isinstance(end, Exception)] for pair in ends]
    if lock is refuse:
        assert errors == [[], [DestinationExistsError]]
    assert set(chain(*errors)) <= {DestinationExistsError, LocalWriteError}
    for path in (end for pair in ends for end in pair if isinstance(end, Path)):
        assert path.read_bytes() in contents
    assert locked or size < MIB  # a small file is unfinished too briefly for the other to be sure to find it
    assert not temporaries(tmp_path)
