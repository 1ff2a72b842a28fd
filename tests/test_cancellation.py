"""Cancelled at any moment, by any means: nothing is left behind, and the same client still works."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from scripted_server import (
    RUN,
    Answer,
    ScriptedServer,
    Step,
    Stored,
    client,
    quick,
    refusal,
    remote,
    temporaries,
)
from scripted_server import server as server

from wbfiles_async import AsyncApi

MIB = 1 << 20
SMALL = b"small" * 1000
LARGE = bytes(range(256)) * 4096 * 2 + b"the end"
CONNECTIONS = 3

Work = Callable[[], Awaitable[object]]
Moment = Awaitable[None]
Stop = Callable[[Work, Moment], Awaitable[bool]]
"""Runs the work and cancels it when the moment has come; returns whether it was done before."""


async def turns(count: int) -> None:
    """Let the loop turn so many times, once at least."""
    for _ in range(count + 1):
        await asyncio.sleep(0)


async def by_task(work: Work, moment: Moment) -> bool:
    task = asyncio.ensure_future(work())
    await moment
    if task.done():
        await task
        return True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return False


async def by_timeout(work: Work, moment: Moment) -> bool:
    limit = asyncio.timeout(None)

    async def limited() -> None:
        async with limit:
            await work()

    task = asyncio.create_task(limited())
    await moment
    if task.done():
        await task
        return True
    limit.reschedule(asyncio.get_running_loop().time())
    with suppress(TimeoutError):  # the work may end in the very turn in which the time is up
        await task
    return False


async def by_scope(work: Work, moment: Moment) -> bool:
    scope = anyio.CancelScope()

    async def scoped() -> None:
        with scope:
            await work()

    task = asyncio.create_task(scoped())
    await moment
    if task.done():
        await task
        return True
    scope.cancel()
    await task
    return False


each_way = pytest.mark.parametrize("stop", [by_task, by_timeout, by_scope])


def descriptors() -> list[str]:
    """What this process has open."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("needs /proc to see the open descriptors")
    found = []
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return sorted(path for path in found if not path.startswith("/proc/"))


def open_files() -> list[str]:
    """What this process has open but for sockets and what waits for them, since kept connections may stay."""
    return [path for path in descriptors() if not path.startswith(("socket:", "anon_inode:[eventpoll]"))]


async def settled(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Watch:
    """Compares what is there with what was there before."""

    def __init__(self, server: ScriptedServer, api: AsyncApi, root: Path) -> None:
        self._server, self._api, self._root = server, api, root
        self._files, self._tasks = open_files(), asyncio.all_tasks()
        self._other = server.put("other", SMALL)

    def strays(self) -> set[asyncio.Task[object]]:
        return asyncio.all_tasks() - self._tasks - self._server.tasks

    async def check(self) -> None:
        """Assert that nothing is left, and that the client works."""
        assert not temporaries(self._root)
        assert open_files() == self._files
        session = self._api._gateway.session()
        assert (session.limits.free, session.limits.under_way) == (CONNECTIONS, 0)
        await settled(lambda: not self.strays())
        async with asyncio.timeout(5):
            assert await remote(self._api, self._other).read_bytes() == SMALL


@asynccontextmanager
async def watched(server: ScriptedServer, root: Path, **options: object) -> AsyncIterator[tuple[AsyncApi, Watch]]:
    """A client that has made its first connection, and a watch on what it leaves."""
    async with client(server, connections=CONNECTIONS, part_size=MIB // 2, **options) as api:
        assert await remote(api, server.put("first", SMALL)).read_bytes() == SMALL
        yield api, Watch(server, api, root)
        gc.collect()  # what was never closed complains now


def moments(first: int, step: float) -> Iterator[int]:
    """Each of the first turns, then ever fewer of them."""
    yield from range(first)
    turn = float(first)
    while turn < 100_000:
        yield int(turn)
        turn *= step
    raise AssertionError("the work is never done")


@pytest.mark.fault(94)
@each_way
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in memory", "in parts"])
async def test_a_download_cancelled_after_any_turn_of_the_loop_leaves_nothing(
    server: ScriptedServer, tmp_path: Path, stop: Stop, data: bytes
) -> None:
    node = server.put("a.txt", data)
    target = tmp_path / "folder" / "a.txt"

    async with watched(server, tmp_path) as (api, watch):
        file = remote(api, node | {"name": "folder/a.txt"})

        async def work() -> None:
            async with await file.download(tmp_path, replace=True):
                pass

        for count in moments(60, 1.06):
            done = await stop(work, turns(count))
            assert not target.exists() or target.read_bytes() == data
            await watch.check()
            if done:
                break
            target.unlink(missing_ok=True)
    assert target.read_bytes() == data


@pytest.mark.fault(94)
@each_way
async def test_a_bulk_download_cancelled_after_any_turn_of_the_loop_leaves_nothing(
    server: ScriptedServer, tmp_path: Path, stop: Stop
) -> None:
    contents = {f"{n}.bin": b"%d" % n * 1000 for n in range(12)} | {"large": LARGE}
    for name, data in contents.items():
        server.put(name, data)
    async with watched(server, tmp_path) as (api, watch):
        run = api.run(RUN)

        async def work() -> None:
            await run.download(tmp_path, existing="replace", exclude=["other", "first"])

        for count in moments(20, 1.12):
            done = await stop(work, turns(count))
            for path in tmp_path.iterdir():
                assert path.read_bytes() == contents[path.name]
                if not done:
                    path.unlink()
            await watch.check()
            if done:
                break
    assert {path.name for path in tmp_path.iterdir()} == set(contents)


@pytest.mark.fault(94)
@each_way
async def test_a_stream_cancelled_after_any_turn_of_the_loop_leaves_nothing(
    server: ScriptedServer, tmp_path: Path, stop: Stop
) -> None:
    node = server.put("a", LARGE)
    async with watched(server, tmp_path) as (api, watch):

        async def work() -> None:
            assert b"".join([piece async for piece in remote(api, node).stream()]) == LARGE

        for count in moments(30, 1.1):
            done = await stop(work, turns(count))
            await watch.check()
            if done:
                break


def silent_before_the_answer(data: bytes) -> Step:
    return Answer(gate=asyncio.Event())


def silent_within_the_body(data: bytes) -> Step:
    return Stored(data).but(gate=asyncio.Event(), gate_at=1000)


def silent_within_a_refusal(data: bytes) -> Step:
    return refusal(500, "x").but(gate=asyncio.Event(), gate_at=5)


@pytest.mark.fault(94)
@each_way
@pytest.mark.parametrize("step", [silent_before_the_answer, silent_within_the_body, silent_within_a_refusal])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in memory", "in parts"])
async def test_a_download_cancelled_while_the_store_is_silent_leaves_nothing(
    server: ScriptedServer, tmp_path: Path, stop: Stop, step: Callable[[bytes], Step], data: bytes
) -> None:
    node = server.put("a", data, step(data))
    async with watched(server, tmp_path, stall_seconds=30) as (api, watch):

        async def silence() -> None:
            await settled(lambda: server.busy)
            await turns(200)

        assert not await stop(lambda: remote(api, node).fetch(tmp_path), silence())
        await settled(lambda: not server.busy)
        await watch.check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(94)
@each_way
async def test_a_download_cancelled_while_it_waits_for_another_try_or_a_connection_leaves_nothing(
    server: ScriptedServer, tmp_path: Path, stop: Stop
) -> None:
    waiting = server.put("waiting", SMALL, refusal(500, "InternalError", Retry_After="15"))
    held = server.put("held", SMALL, Answer(gate=asyncio.Event()))
    async with watched(server, tmp_path, stall_seconds=30) as (api, watch):

        async def hold(root: Path) -> None:
            await settled(lambda: server.seen("/store/waiting"))
            await remote(api, held).fetch(root)

        async def work() -> None:
            # More files than connections: some wait for one of the held ones to end.
            holding = (hold(tmp_path / str(n)) for n in range(CONNECTIONS + 2))
            await asyncio.gather(remote(api, waiting).fetch(tmp_path), *holding)

        assert not await stop(work, settled(lambda: server.busy == CONNECTIONS))
        await settled(lambda: not watch.strays())
        await watch.check()
    assert server.most_busy <= CONNECTIONS


@pytest.mark.fault(93, 94)
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in memory", "in parts"])
@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_download_ends_only_when_its_threads_have_let_go_of_the_file(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, times: int
) -> None:
    node = server.put("a", data)
    writing, release = threading.Event(), threading.Event()
    pwrite, failures = os.pwrite, []

    def slow(descriptor: int, piece: bytes, offset: int) -> int:
        writing.set()
        release.wait(10)
        try:
            return pwrite(descriptor, piece, offset)
        except OSError as error:  # the descriptor was closed, or is another file's
            failures.append(error)
            raise

    async with watched(server, tmp_path) as (api, watch):
        monkeypatch.setattr(os, "pwrite", slow)
        task = asyncio.create_task(remote(api, node).fetch(tmp_path))
        await asyncio.to_thread(writing.wait)
        for _ in range(times):
            task.cancel()
            await turns(20)
        assert not task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        monkeypatch.undo()
        await watch.check()
    assert failures == []


@pytest.mark.fault(96)
async def test_when_one_part_fails_the_others_stop_at_once_and_one_error_comes_out(
    server: ScriptedServer, tmp_path: Path
) -> None:
    held = Stored(LARGE).but(gate=asyncio.Event(), gate_at=1000)
    node = server.put("a", LARGE, held, held, refusal(400, "Bad"))
    async with watched(server, tmp_path, stall_seconds=30) as (api, watch), asyncio.timeout(5):
        with pytest.raises(OSError, match="status 400 Bad"):
            await remote(api, node).fetch(tmp_path)
        await watch.check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(94)
async def test_closing_the_client_leaves_no_descriptor_task_or_thread(server: ScriptedServer, tmp_path: Path) -> None:
    nodes = [server.put(str(n), LARGE) for n in range(4)]
    tasks, threads, before = asyncio.all_tasks(), set(threading.enumerate()), descriptors()
    async with AsyncApi(base_url=server.base_url, api_key="k" * 40, options=quick(part_size=MIB // 2)) as api:
        await asyncio.gather(*(remote(api, node).fetch(tmp_path) for node in nodes))
    await settled(lambda: not (asyncio.all_tasks() - tasks - server.tasks))
    await settled(lambda: len(descriptors()) == len(before))
    await settled(lambda: set(threading.enumerate()) <= threads)


async def test_a_client_closed_in_the_middle_keeps_no_connection(server: ScriptedServer) -> None:
    gate = asyncio.Event()
    node = server.put("a", b"data", Stored(b"data").but(gate=gate))
    before = len(descriptors())
    api = client(server)
    task = asyncio.create_task(remote(api, node).read_bytes())
    await settled(lambda: server.busy)
    await api.aclose()
    gate.set()
    await asyncio.wait([task])
    del task
    await settled(lambda: len(descriptors()) <= before + 1)  # the server's own end, until it is closed
