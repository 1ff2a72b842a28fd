"""Cancelled at any moment, in any way, over each kind of transport: nothing is left, and the client works."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import attrs
import pytest
from scripted_server import (
    RUN,
    Answer,
    ScriptedServer,
    Seen,
    Step,
    Stored,
    client,
    error_of,
    graphql_answer,
    quick,
    refusal,
    remote,
    temporaries,
)
from scripted_server import server as server
from soak.listings import Listing
from systems import local_file_type
from transports import KINDS, SOCKS, TRANSPORTS, each_transport

from wbfiles_async import AsyncApi, ConfigurationError, IncompleteDownloadError, WBFilesError
from wbfiles_async._disk.journal import parse_journal
from wbfiles_async._download import small_files

MIB = 1 << 20
SMALL = b"small" * 1000
LARGE = bytes(range(256)) * 4096 * 2 + b"the end"
CONNECTIONS = 3
MOST_CONNECTIONS = CONNECTIONS + 2
"""The connections of the API: one in use, and possibly one closing."""
DENSE = 16
"""The iterations of the event loop that are all tried."""

Work = Callable[[], Awaitable[object]]
Moment = Awaitable[None]
Stop = Callable[[Work, Moment], Awaitable[bool]]
"""Runs the work and cancels it at some moment; returns whether it ended before."""


async def turns(count: int) -> None:
    """Let the event loop run so many iterations, at least one."""
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
    with suppress(TimeoutError):  # the work may end in the same iteration as the timeout
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


CANCELLATIONS = (by_task, by_timeout, by_scope)


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
    """The open descriptors of this process except sockets and pollers, since kept connections may stay."""
    return [path for path in descriptors() if not path.startswith(("socket:", "anon_inode:[eventpoll]"))]


def threads() -> set[threading.Thread]:
    """The threads except the event loop's own, which stay until it is closed."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


async def settled(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Watch:
    """Compares the state with an earlier one."""

    def __init__(self, server: ScriptedServer, api: AsyncApi) -> None:
        self._server, self._api = server, api
        self._files, self._tasks = open_files(), asyncio.all_tasks()
        self._other = server.put("other", SMALL)

    def unfinished_tasks(self) -> set[asyncio.Task[object]]:
        return asyncio.all_tasks() - self._tasks - self._server.tasks

    async def check(self) -> None:
        """Assert that nothing is left, and that the client works."""
        assert open_files() == self._files
        session = self._api._gateway.session()
        assert (session.limits.free, session.limits.under_way) == (CONNECTIONS, 0)
        await settled(lambda: not self.unfinished_tasks())
        await settled(lambda: len(self._server.tasks) <= MOST_CONNECTIONS)
        async with asyncio.timeout(5):
            assert await remote(self._api, self._other).read_bytes() == SMALL


@asynccontextmanager
async def watched(server: ScriptedServer, **options: object) -> AsyncIterator[tuple[AsyncApi, Watch]]:
    """A client that has made its first connection, and a watch on what it leaves."""
    before, tasks = threads(), asyncio.all_tasks()
    async with client(server, connections=CONNECTIONS, part_size=MIB // 2, **options) as api:
        assert await remote(api, server.put("first", SMALL)).read_bytes() == SMALL
        yield api, Watch(server, api)
        gc.collect()  # unclosed objects warn now
    await settled(lambda: threads() <= before)
    await settled(lambda: asyncio.all_tasks() <= tasks)  # the server has one for each connection


def moments() -> Iterator[int]:
    """Each of the first iterations, then ever fewer."""
    yield from range(DENSE)
    turn = float(DENSE)
    while turn < 1e8:  # on a busy machine the loop runs many iterations meanwhile
        yield int(turn)
        turn *= 1.2
    raise AssertionError("the work is never done")


@attrs.frozen
class Operation:
    """An operation on the client, to be repeated.

    Attributes:
        work: Performs it once.
        check: Called after each time with whether it completed; asserts what may be left, and restores the state.
    """

    work: Work
    check: Callable[[bool], None]


Prepare = Callable[[ScriptedServer, AsyncApi, Path], Operation]
"""Puts the files of an operation on the server."""


def _fetched(root: Path, contents: dict[str, bytes], work: Work) -> Operation:
    """Files that are complete or do not exist."""

    def check(done: bool) -> None:
        paths = {path for path in root.rglob("*") if path.is_file()} - set(temporaries(root))
        found = {path.relative_to(root).as_posix(): path for path in paths}
        assert not done or found.keys() == contents.keys()
        for name, path in found.items():
            assert path.read_bytes() == contents[name]
            path.unlink()

    return Operation(work, check)


def _downloaded(data: bytes) -> Prepare:
    def prepare(server: ScriptedServer, api: AsyncApi, root: Path) -> Operation:
        file = remote(api, server.put("a.txt", data) | {"name": "folder/a.txt"})

        async def work() -> None:
            async with await file.download(root):
                pass

        return _fetched(root, {"folder/a.txt": data}, work)

    return prepare


def _resumed(server: ScriptedServer, api: AsyncApi, root: Path) -> Operation:
    """A large file that may leave its part file for the next download."""
    file = remote(api, server.put("a", LARGE))
    fetched = _fetched(root, {"a": LARGE}, lambda: file.fetch(root))

    def check(done: bool) -> None:
        left = temporaries(root)
        assert not (done and left)
        for path in left:
            journal = parse_journal(path.read_bytes()[len(LARGE) :])
            assert journal is not None
            assert journal.parts
        fetched.check(done)

    return Operation(fetched.work, check)


def _many(server: ScriptedServer, api: AsyncApi, root: Path) -> Operation:
    contents = {f"{n}.bin": b"%d" % n * 1000 for n in range(12)} | {"large": LARGE}
    for name, data in contents.items():
        server.put(name, data)
    run = api.run(RUN)
    return _fetched(
        root, contents, lambda: run.download(root, existing="replace", exclude=["other", "first", ".wbfiles-state"])
    )


def _nothing(done: bool) -> None:
    """Writes nothing that has to be checked."""


def _read(server: ScriptedServer, api: AsyncApi, root: Path) -> Operation:
    node = server.put("a", LARGE)

    async def work() -> None:
        assert await remote(api, node).read_bytes() == LARGE

    return Operation(work, _nothing)


def _streamed(server: ScriptedServer, api: AsyncApi, root: Path) -> Operation:
    node = server.put("a", LARGE)

    async def work() -> None:
        assert b"".join([piece async for piece in remote(api, node).stream()]) == LARGE

    return Operation(work, _nothing)


def _listed(server: ScriptedServer, api: AsyncApi, root: Path) -> Operation:
    for n in range(5):
        server.put(f"{n}", b"")
    server.on("/graphql", Listing(server, "as it should be"))

    async def work() -> None:
        assert {file.name for file in await api.run(RUN).files(per_page=2).to_list()} == set(server.files)

    return Operation(work, _nothing)


def _deleted(server: ScriptedServer, api: AsyncApi, root: Path) -> Operation:
    listing, numbers = Listing(server, "as it should be"), itertools.count()

    def answer(seen: Seen) -> Answer:
        body = json.loads(seen.body)
        if "mutation" not in body["query"]:
            return listing(seen)
        there = [server.files.pop(identity.removeprefix("id-"), None) for identity in body["variables"]["files"]]
        return graphql_answer({"deleteFiles": {"success": None not in there}})

    def check(done: bool) -> None:
        assert not done or not server.files
        server.files.clear()
        for _ in range(5):  # of new names: a server may delete the others after a cancelled request, too
            server.put(f"{next(numbers)}", b"")

    server.on("/graphql", answer)
    check(False)
    return Operation(lambda: api.run(RUN).files(per_page=2).delete(all=True), check)


OPERATIONS: dict[str, Prepare] = {
    "a small download": _downloaded(SMALL),
    "a download in parts": _downloaded(LARGE),
    "a fetch that is resumed": _resumed,
    "many files": _many,
    "reading": _read,
    "a stream": _streamed,
    "a listing": _listed,
    "a deletion": _deleted,
}


# httpcore leaves a connection that is cancelled in the handshake of SOCKS to the garbage collection.
each_but_socks = pytest.mark.each_transport(*(each.name for each in TRANSPORTS if each.is_common and each is not SOCKS))


@pytest.mark.fault(94)
@each_but_socks
@pytest.mark.parametrize("name", OPERATIONS)
async def test_cancelled_after_any_step_of_the_loop(server: ScriptedServer, tmp_path: Path, name: str) -> None:
    """The kinds of cancellation alternate between iterations and transports, so that each iteration meets each kind."""
    root = tmp_path / "root"
    root.mkdir()
    cancellations = itertools.cycle(CANCELLATIONS)
    for _ in range(KINDS.index(server.transport.kind)):
        next(cancellations)
    is_resumed = OPERATIONS[name] is _resumed
    async with watched(server, resume=is_resumed) as (api, watch):
        operation = OPERATIONS[name](server, api, root)
        for count, stop in zip(moments(), cancellations, strict=False):
            done = await stop(operation.work, turns(count))
            operation.check(done)
            assert is_resumed or not temporaries(root)
            await watch.check()
            if done:
                break


def stalled_before_the_response(data: bytes) -> Step:
    return Answer(gate=asyncio.Event())


def stalled_within_the_body(data: bytes) -> Step:
    return Stored(data).but(gate=asyncio.Event(), gate_at=1000)


def stalled_within_an_error(data: bytes) -> Step:
    return refusal(500, "x").but(gate=asyncio.Event(), gate_at=5)


@pytest.mark.fault(94)
@each_transport
@pytest.mark.parametrize("step", [stalled_before_the_response, stalled_within_the_body, stalled_within_an_error])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in memory", "in parts"])
async def test_cancellation_during_silence_leaves_nothing(
    server: ScriptedServer, tmp_path: Path, step: Callable[[bytes], Step], data: bytes
) -> None:
    node = server.put("a", data, step(data))
    async with watched(server, stall_seconds=30) as (api, watch):

        async def silence() -> None:
            await settled(lambda: server.busy)
            await turns(200)

        for stop in CANCELLATIONS:
            assert not await stop(lambda: remote(api, node).fetch(tmp_path), silence())
            await settled(lambda: not server.busy)
            await watch.check()
            assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(94)
@each_transport
@pytest.mark.parametrize("stop", CANCELLATIONS)
async def test_cancellation_during_a_wait_leaves_nothing(
    server: ScriptedServer, tmp_path: Path, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_files, "STUCK_SECONDS", 0.05)  # files soon stop waiting for the one that waits
    waiting = server.put("waiting", SMALL, refusal(500, "InternalError", Retry_After="15"))
    held = server.put("held", SMALL, Answer(gate=asyncio.Event()))
    async with watched(server, stall_seconds=30) as (api, watch):

        async def hold(root: Path) -> None:
            await settled(lambda: server.seen("/store/waiting"))
            await remote(api, held).fetch(root)

        async def work() -> None:
            # More files than connections: some wait for a slot.
            holding = (hold(tmp_path / str(n)) for n in range(CONNECTIONS + 2))
            await asyncio.gather(remote(api, waiting).fetch(tmp_path), *holding)

        assert not await stop(work, settled(lambda: server.busy == CONNECTIONS))
        await settled(lambda: not watch.unfinished_tasks())
        await watch.check()
    assert server.most_busy <= CONNECTIONS


@pytest.mark.fault(93, 94)
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in memory", "in parts"])
@pytest.mark.parametrize("times", [1, 3])
async def test_cancelled_download_waits_for_its_threads(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, times: int
) -> None:
    node = server.put("a", data)
    writing, release = threading.Event(), threading.Event()
    local_file = local_file_type()
    write, failures = local_file.write, []

    def slow(file: object, piece: bytes, offset: int) -> object:
        writing.set()
        release.wait(10)
        try:
            return write(file, piece, offset)
        except OSError as error:  # the descriptor was closed, or belongs to another file
            failures.append(error)
            raise

    async with watched(server) as (api, watch):
        monkeypatch.setattr(local_file, "write", slow)
        task = asyncio.create_task(remote(api, node).fetch(tmp_path))
        assert await asyncio.to_thread(writing.wait, 10)
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
async def test_one_failed_part_stops_the_others_with_one_error(server: ScriptedServer, tmp_path: Path) -> None:
    held = Stored(LARGE).but(gate=asyncio.Event(), gate_at=1000)
    node = server.put("a", LARGE, held, held, refusal(400, "Bad"))
    async with watched(server, stall_seconds=30) as (api, watch), asyncio.timeout(5):
        with pytest.raises(OSError, match="status 400 Bad"):
            await remote(api, node).fetch(tmp_path)
        await watch.check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(94)
async def test_closing_the_client_leaves_no_descriptor_task_or_thread(server: ScriptedServer, tmp_path: Path) -> None:
    nodes = [server.put(str(n), LARGE) for n in range(4)]
    tasks, running, before = asyncio.all_tasks(), threads(), descriptors()
    async with AsyncApi(base_url=server.base_url, api_key="k" * 40, options=quick(part_size=MIB // 2)) as api:
        await asyncio.gather(*(remote(api, node).fetch(tmp_path) for node in nodes))
    await settled(lambda: not (asyncio.all_tasks() - tasks - server.tasks))
    await settled(lambda: len(descriptors()) == len(before))
    await settled(lambda: threads() <= running)


@each_transport
@pytest.mark.parametrize("name", ["a small download", "a download in parts", "many files", "reading", "a stream"])
async def test_client_closed_in_the_middle_raises_one_clear_error(
    server: ScriptedServer, tmp_path: Path, name: str
) -> None:
    before, gate = len(descriptors()), asyncio.Event()
    api = client(server, connections=CONNECTIONS, part_size=MIB // 2, stall_seconds=30)
    operation = OPERATIONS[name](server, api, tmp_path)
    for path, (stored,) in [*server._scripts.items()]:
        if isinstance(stored, Stored):
            server.on(path, stored.but(gate=gate, gate_at=100))
    task = asyncio.ensure_future(operation.work())
    await settled(lambda: server.sent)
    await turns(200)
    requests = len(server.requests)
    await api.aclose()
    async with asyncio.timeout(10):
        error: WBFilesError = await error_of(WBFilesError, task)
    of_files = (
        [failure.error for failure in error.report.failures] if isinstance(error, IncompleteDownloadError) else [error]
    )
    assert {type(each) for each in of_files} == {ConfigurationError}
    assert all("This client is closed" in str(each) for each in of_files)
    assert api._gateway._session is None
    operation.check(False)
    assert not temporaries(tmp_path)
    if (injected := api._gateway._http_options.http_client) is not None:
        await injected.aclose()
    await settled(lambda: not server.tasks)
    assert len(server.requests) == requests
    del task, error, of_files
    await settled(lambda: len(descriptors()) <= before)
