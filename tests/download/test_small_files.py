"""Single small files, sequential and concurrent: they share connections."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import threading
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted_server import (
    RUN,
    Answer,
    ScriptedServer,
    Seen,
    Stored,
    client,
    refusal,
    remote,
    secrets_in,
    temporaries,
)
from scripted_server import server as server
from scripted_server import waits as waits
from systems import before_each_write, posix_only
from test_batch import DATA, ODD, ONCE, count_requests, patience, put_many, written
from transports import each_transport

import wbfiles_async
from wbfiles_async import (
    AsyncApi,
    ConfigurationError,
    DestinationExistsError,
    IntegrityError,
    PermissionDeniedError,
    RemoteFileNotFoundError,
    TransferError,
)
from wbfiles_async._disk import part_file
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._download import batch, small_files
from wbfiles_async._http.batch_worker import BatchWorker
from wbfiles_async._store import turns

MIB = 1 << 20

RANDOM_STEPS: list[Callable[[bytes], tuple[Answer | Stored, ...]]] = [
    *[lambda data: (Stored(data),)] * 4,
    lambda data: (Answer(body=data, cut=100, end="reset"), Stored(data)),
    lambda data: (Answer(head=b"", end="close"), Stored(data)),
    lambda data: (refusal(503, "SlowDown"), Stored(data)),
    lambda data: (refusal(500, "InternalError"), Stored(data)),
    lambda data: (Answer(body=data, end="close"),),
    lambda data: (Answer(body=data[::-1]), Stored(data)),
    lambda data: (Answer(body=data, cut=100, end="stall"), Stored(data)),
]


async def fetch_all(api: AsyncApi, server: ScriptedServer, root: Path) -> list[Path | BaseException]:
    """Fetch all files concurrently, one call each."""
    files = [remote(api, node) for node in server.files.values()]
    return await asyncio.gather(*(file.fetch(root) for file in files), return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def idle(api: AsyncApi) -> bool:
    """Return whether no slot is held."""
    limits = api._gateway.session().limits
    return (limits.free, limits.under_way) == (limits.most, 0)


async def until_idle(api: AsyncApi) -> None:
    """Wait until no slot is held: a connection's thread returns its slot just after reporting its last file."""
    await until(lambda: idle(api))


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that published a follow-up; connections wait long enough for one."""
    monkeypatch.setattr(small_files, "PAUSE_SECONDS", 30.0)
    monkeypatch.setattr(small_files, "STUCK_SECONDS", 30.0)
    threads = list[str]()

    complete = batch.SmallFile.complete

    def recorded(self: batch.SmallFile) -> None:
        threads.append(threading.current_thread().name)
        complete(self)

    monkeypatch.setattr(batch.SmallFile, "complete", recorded)
    return threads


async def test_sequential_files_share_a_connection_and_a_thread(
    server: ScriptedServer, tmp_path: Path, followed: list[str]
) -> None:
    contents = put_many(server)
    async with client(server) as api:
        for node in server.files.values():
            await remote(api, node).fetch(tmp_path)
            await until_idle(api)  # a paused connection holds no slot
    assert written(tmp_path) == contents
    assert set(count_requests(server).values()) == {1}
    assert len({seen.connection for seen in server.seen()}) == 1
    assert followed == ["wbfiles-batch"] * 39


@pytest.mark.parametrize("connections", [1, 3])
async def test_concurrent_files_share_the_connections(
    server: ScriptedServer, tmp_path: Path, followed: list[str], connections: int
) -> None:
    contents = put_many(server)
    async with client(server, connections=connections) as api:
        await fetch_all(api, server, tmp_path)
        await until_idle(api)
    assert written(tmp_path) == contents
    assert set(count_requests(server).values()) == {1}
    assert len({seen.connection for seen in server.seen()}) == connections
    assert server.most_busy <= connections
    assert len(followed) == 40 - connections


async def test_connection_is_kept_briefly_then_returned(
    server: ScriptedServer, tmp_path: Path, followed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_files, "PAUSE_SECONDS", 0.0)
    contents = put_many(server, 5)
    async with client(server) as api:
        tasks = asyncio.all_tasks()
        for node in server.files.values():
            await remote(api, node).fetch(tmp_path)
            await until(lambda: not asyncio.all_tasks() - tasks - server.tasks)
    assert written(tmp_path) == contents
    assert len({seen.connection for seen in server.seen()}) == 1, "it is in the pool"
    assert not followed


@pytest.mark.usefixtures("waits")
@each_transport
@pytest.mark.parametrize(("steps", "requests"), ONCE.values(), ids=ONCE)
@pytest.mark.parametrize(("odd", "connections"), [("0", 3), (ODD, 1)], ids=["the first", "another"])
async def test_unexpected_response_costs_no_other_file_a_request(
    server: ScriptedServer,
    tmp_path: Path,
    steps: Callable[[bytes], tuple[Answer | Stored, ...]],
    requests: int,
    connections: int,
    odd: str,
) -> None:
    contents = put_many(server)
    server.put(odd, contents[odd], *steps(contents[odd]))
    async with client(server, connections=connections, stall_seconds=patience(steps)) as api, asyncio.timeout(30):
        await fetch_all(api, server, tmp_path)
        await until_idle(api)
    assert written(tmp_path) == contents
    counted = count_requests(server)
    assert counted.pop(odd) == requests
    assert set(counted.values()) == {1}
    assert not temporaries(tmp_path)


@pytest.mark.usefixtures("waits")
@each_transport
async def test_each_file_fails_with_its_own_error(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server)
    (tmp_path / "5").write_bytes(contents.pop("5"))
    expected = {
        "5": DestinationExistsError,
        "10": RemoteFileNotFoundError,
        "15": IntegrityError,
        "20": PermissionDeniedError,
        "25": TransferError,
    }
    server.put("10", contents.pop("10"), refusal(404, "NoSuchKey"))
    server.put("15", contents["15"], Answer(body=contents.pop("15")[::-1]))
    server.put("20", contents.pop("20"), refusal(403, "AccessDenied"))
    server.put("25", contents.pop("25"), refusal(500, "InternalError"))
    async with client(server, connections=2) as api:
        outcomes = await fetch_all(api, server, tmp_path)
        await until_idle(api)
    errors = {str(n): type(outcome) for n, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)}
    assert errors == expected
    assert "5" not in count_requests(server), "what exists is not requested"
    (tmp_path / "5").unlink()
    assert written(tmp_path) == contents


async def test_existing_file_is_found_without_a_request_in_every_queue(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server)
    for name in contents:
        (tmp_path / name).write_bytes(b"mine")
    first = server.put("first", DATA)
    async with client(server, connections=1) as api:
        for exist_ok in (True, False):
            await remote(api, first).fetch(tmp_path, replace=True)  # leaves a paused connection
            outcomes = await asyncio.gather(
                *(remote(api, server.files[name]).fetch(tmp_path, exist_ok=exist_ok) for name in contents),
                return_exceptions=True,
            )
            assert {type(outcome) for outcome in outcomes} == {type(tmp_path) if exist_ok else DestinationExistsError}
        assert count_requests(server) == {"first": 2}
        await asyncio.gather(*(remote(api, server.files[name]).fetch(tmp_path, replace=True) for name in contents))
    assert written(tmp_path) == contents | {"first": DATA}


@pytest.mark.usefixtures("waits")
@each_transport
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "unannounced"])
async def test_connection_closed_by_the_server_costs_no_request(
    server: ScriptedServer, tmp_path: Path, announced: bool
) -> None:
    contents = put_many(server, 6)
    for name, data in contents.items():
        server.put(name, data, Answer(body=data, headers={"Connection": "close"} if announced else {}, end="close"))
    async with client(server) as api:
        for node in server.files.values():
            await remote(api, node).fetch(tmp_path)
    assert written(tmp_path) == contents
    assert set(count_requests(server).values()) == {1}
    assert len({seen.connection for seen in server.seen()}) == 6


async def test_paused_connections_block_nobody(server: ScriptedServer, tmp_path: Path) -> None:
    large, small = server.put("large", bytes(3 * MIB)), server.put("small", DATA)
    async with ScriptedServer() as other, client(server, connections=1) as api, asyncio.timeout(5):
        elsewhere = other.put("elsewhere", DATA)
        await remote(api, small).fetch(tmp_path)
        await remote(api, elsewhere).fetch(tmp_path)
        await remote(api, large).fetch(tmp_path)
        await until_idle(api)
    assert server.most_busy == 1


async def test_single_files_do_not_block_a_bulk_download(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.0)
    node, wanted = server.put("a", DATA), server.put("bulk", DATA)
    async with client(server, connections=1) as api, asyncio.timeout(10):
        ended = False

        async def keep_fetching() -> None:
            while not ended:
                await remote(api, node).fetch(tmp_path, replace=True)

        fetching = [asyncio.create_task(keep_fetching()) for _ in range(4)]
        await until(lambda: len(server.seen()) > 20)
        await api.run(RUN).files(names=["bulk"]).download(tmp_path)
        ended = True
        await asyncio.gather(*fetching)
    assert wanted["name"] in written(tmp_path)


async def test_file_does_not_wait_for_a_retried_one(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_files, "STUCK_SECONDS", 0.01)
    contents = put_many(server, 4)

    def until_the_others_are_there(seen: Seen) -> Answer:
        return refusal(500, "InternalError") if len(written(tmp_path)) < 3 else Answer(body=contents["0"])

    server.put("0", contents["0"], until_the_others_are_there)
    async with client(server, connections=1, attempts=4) as api, asyncio.timeout(10):
        await fetch_all(api, server, tmp_path)
    assert written(tmp_path) == contents


@pytest.mark.usefixtures("waits")
async def test_store_that_throttles_gets_fewer_requests_and_every_file_arrives(
    server: ScriptedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contents = put_many(server, 60)
    for name, data in contents.items():
        if int(name) % 7 == 3:
            server.put(name, data, refusal(503, "SlowDown"), Stored(data))
    async with client(server, connections=4, attempts=20) as api:
        await fetch_all(api, server, tmp_path)
    assert {int(count) for count in re.findall(r"asks to slow down: (\d) requests at once", caplog.text)} & {1, 2, 3}
    assert written(tmp_path) == contents


async def test_rate_limit_uses_ordinary_downloads(server: ScriptedServer, tmp_path: Path, followed: list[str]) -> None:
    contents = put_many(server)
    async with client(server, limit_rate=100 * MIB) as api:
        await fetch_all(api, server, tmp_path)
        await until_idle(api)
    assert written(tmp_path) == contents
    assert not followed


async def test_bodies_are_not_kept(server: ScriptedServer, tmp_path: Path) -> None:
    data = bytes(MIB)
    for n in range(40):
        server.put(str(n), data)
    async with client(server, connections=2) as api:
        tracemalloc.start()
        try:
            await fetch_all(api, server, tmp_path)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 20 * MIB


@pytest.mark.usefixtures("waits")
async def test_no_frame_of_an_error_shows_a_signature(server: ScriptedServer, tmp_path: Path) -> None:
    """Debuggers and error trackers show the variables of frames."""
    put_many(server, 3)
    server.put("1", DATA, Answer(body=DATA[::-1]))
    (tmp_path / "2").write_bytes(b"mine")
    async with client(server, connections=1) as api:
        outcomes = await fetch_all(api, server, tmp_path)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in errors] == [IntegrityError, DestinationExistsError]
    for error in errors:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if Path(wbfiles_async.__file__).parent in Path(frame.f_code.co_filename).parents:
                shown = {name: repr(value) for name, value in frame.f_locals.items()}
                assert not {name: secrets_in(text) for name, text in shown.items() if secrets_in(text)}, frame


class TestCancellation:
    """A cancelled download ends alone; the others continue."""

    async def test_while_it_downloads(self, server: ScriptedServer, tmp_path: Path) -> None:
        contents = put_many(server)
        gate = asyncio.Event()
        server.put(ODD, contents[ODD], Stored(contents[ODD]).but(gate=gate))
        async with client(server, connections=1) as api, asyncio.timeout(10):
            tasks = {name: asyncio.create_task(remote(api, server.files[name]).fetch(tmp_path)) for name in contents}
            await until(lambda: count_requests(server)[ODD])
            tasks[ODD].cancel()
            await asyncio.wait([tasks[ODD]])
            gate.set()
            assert tasks.pop(ODD).cancelled()
            await asyncio.gather(*tasks.values())
            await until_idle(api)
        del contents[ODD]
        assert written(tmp_path) == contents
        assert set(count_requests(server).values()) == {1}
        assert not temporaries(tmp_path)

    async def test_while_it_waits_for_a_connection(self, server: ScriptedServer, tmp_path: Path) -> None:
        contents = put_many(server)
        gate = asyncio.Event()
        server.put("0", contents["0"], Stored(contents["0"]).but(gate=gate))
        async with client(server, connections=1) as api, asyncio.timeout(10):
            tasks = {name: asyncio.create_task(remote(api, server.files[name]).fetch(tmp_path)) for name in contents}
            await until(lambda: server.busy)
            for name in ("7", ODD):
                tasks[name].cancel()
                await asyncio.wait([tasks[name]])
                assert tasks.pop(name).cancelled()
            gate.set()
            await asyncio.gather(*tasks.values())
        del contents["7"], contents[ODD]
        assert written(tmp_path) == contents
        assert count_requests(server) == Counter(dict.fromkeys(contents, 1))

    @pytest.mark.parametrize("turns", range(6))
    async def test_right_after_hand_over(self, server: ScriptedServer, tmp_path: Path, turns: int) -> None:
        first, second, third = (server.put(name, DATA) for name in ("first", "second", "third"))
        async with client(server, connections=1) as api, asyncio.timeout(10):
            await remote(api, first).fetch(tmp_path)
            task = asyncio.create_task(remote(api, second).fetch(tmp_path))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await until_idle(api)
            there = written(tmp_path)
            await remote(api, third).fetch(tmp_path)
        assert written(tmp_path) == there | {"third": DATA}

    @pytest.mark.parametrize("times", [1, 3])
    async def test_while_it_is_published(
        self, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
    ) -> None:
        contents = put_many(server, 4)
        writing, release = threading.Event(), threading.Event()

        def wait(piece: bytes | memoryview, _: int) -> None:
            if len(piece) == len(contents["2"]):
                writing.set()
                release.wait(10)

        before_each_write(monkeypatch, wait)
        async with client(server, connections=1) as api, asyncio.timeout(10):
            tasks = [asyncio.create_task(remote(api, node).fetch(tmp_path)) for node in server.files.values()]
            assert await asyncio.to_thread(writing.wait, 10)
            for _ in range(times):
                tasks[2].cancel()
                for _ in range(20):
                    await asyncio.sleep(0)
            assert not tasks[2].done(), "the thread may still put it in place"
            release.set()
            await asyncio.wait([tasks[2]])
            assert tasks.pop(2).cancelled()
            there = (tmp_path / "2").exists()
            await asyncio.gather(*tasks)
            await until_idle(api)
        assert (tmp_path / "2").exists() == there
        assert written(tmp_path) == {name: data for name, data in contents.items() if name != "2" or there}
        assert not temporaries(tmp_path)

    async def test_first_of_a_connection(self, server: ScriptedServer, tmp_path: Path) -> None:
        contents = put_many(server)
        gate = asyncio.Event()
        server.put("0", contents.pop("0"), Stored(DATA).but(gate=gate))
        async with client(server, connections=1) as api, asyncio.timeout(10):
            tasks = [asyncio.create_task(remote(api, node).fetch(tmp_path)) for node in server.files.values()]
            await until(lambda: server.busy)
            tasks[0].cancel()
            await asyncio.gather(*tasks[1:])
            assert tasks[0].cancelled()
            await until_idle(api)
        assert written(tmp_path) == contents

    async def test_when_the_first_is_reported(
        self, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contents = put_many(server, 3)
        server.put("1", contents["1"], Stored(contents["1"]).but(gate=asyncio.Event()))
        loop, check_new_file = asyncio.get_running_loop(), part_file.check_new_file
        reported, report_soon = threading.Event(), BatchWorker._report_soon

        def cancel_second() -> None:
            assert reported.wait(5)  # the thread has sent its request, and reported the first one
            tasks[1].cancel()

        def recorded(*args: Any) -> None:
            report_soon(*args)
            if args[1]:
                reported.set()

        def watched(target: TargetPath, *, replace: bool) -> int:
            if target.name == "1":
                reported.clear()
                loop.call_soon_threadsafe(cancel_second)
            return check_new_file(target, replace=replace)

        monkeypatch.setattr(small_files, "check_new_file", watched)
        monkeypatch.setattr(BatchWorker, "_report_soon", recorded)
        async with client(server, connections=1) as api, asyncio.timeout(10):
            tasks = [asyncio.create_task(remote(api, node).fetch(tmp_path)) for node in server.files.values()]
            await asyncio.wait(tasks)
            assert [task.cancelled() for task in tasks] == [False, True, False]
            await until_idle(api)
        del contents["1"]
        assert written(tmp_path) == contents

    async def test_all_of_them(self, server: ScriptedServer, tmp_path: Path) -> None:
        put_many(server, 100)
        async with client(server, connections=3) as api, asyncio.timeout(10):
            before = asyncio.all_tasks()
            task = asyncio.create_task(fetch_all(api, server, tmp_path))
            await until(lambda: len(written(tmp_path)) > 20)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await until_idle(api)
            there = written(tmp_path)
            await until(lambda: not asyncio.all_tasks() - before - server.tasks)
            assert written(tmp_path) == there
            assert not temporaries(tmp_path)

    @pytest.mark.parametrize("seed", range(8))
    async def test_at_random_while_the_store_fails_at_random(
        self, server: ScriptedServer, tmp_path: Path, seed: int
    ) -> None:
        chance = random.Random(seed)
        contents = put_many(server)
        for name, data in contents.items():
            server.put(name, data, *chance.choice(RANDOM_STEPS)(data))
        there: dict[str, bool] = {}

        async def fetch(name: str) -> None:
            try:
                await remote(api, server.files[name]).fetch(tmp_path)
            finally:
                there[name] = (tmp_path / name).exists()

        async with client(server, connections=chance.choice([1, 2, 8]), attempts=6, stall_seconds=0.5) as api:
            before = asyncio.all_tasks()
            async with asyncio.timeout(20):
                tasks = {name: asyncio.create_task(fetch(name)) for name in contents}
                for name in chance.sample(sorted(contents), 20):
                    await asyncio.sleep(chance.choice([0, 0.002]))
                    for _ in range(chance.choice([1, 2])):
                        tasks[name].cancel()
                        await asyncio.sleep(0)
                outcomes = await asyncio.gather(*tasks.values(), return_exceptions=True)
            assert {outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)} == {None}
            await until_idle(api)
            await until(lambda: not asyncio.all_tasks() - before - server.tasks)
            assert {name for name in there if there[name]} == written(tmp_path).keys(), "none is published later"
        assert all(contents[name] == data for name, data in written(tmp_path).items())
        assert not temporaries(tmp_path)


class TestEnd:
    """The client, its event loop or its process ends while files or connections wait."""

    async def test_closing_the_client_fails_waiting_files(self, server: ScriptedServer, tmp_path: Path) -> None:
        contents = put_many(server)
        gate = asyncio.Event()
        server.put(ODD, contents[ODD], Stored(contents[ODD]).but(gate=gate))
        before = asyncio.all_tasks()
        api = client(server, connections=1)
        task = asyncio.create_task(fetch_all(api, server, tmp_path))
        await until(lambda: count_requests(server)[ODD])
        await api.aclose()
        outcomes = await asyncio.wait_for(task, 5)
        failed = {name for name, outcome in zip(contents, outcomes, strict=True) if isinstance(outcome, Exception)}
        assert {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)} == {ConfigurationError}
        assert written(tmp_path) == {name: data for name, data in contents.items() if name not in failed}
        assert ODD in failed
        await until(lambda: not asyncio.all_tasks() - before - server.tasks)

    async def test_closing_the_client_ends_paused_connections(self, server: ScriptedServer, tmp_path: Path) -> None:
        before, threads = asyncio.all_tasks(), set(threading.enumerate())
        api = client(server)
        await remote(api, server.put("a", DATA)).fetch(tmp_path)
        await api.aclose()
        assert not asyncio.all_tasks() - before - server.tasks
        await until(lambda: set(threading.enumerate()) <= threads)

    @pytest.mark.parametrize(
        "end", ["asyncio.run", "loop.close", "exit", pytest.param("fork", marks=posix_only("fork"))]
    )
    def test_loop_ending_without_close_is_silent(self, tmp_path: Path, end: str) -> None:
        """In a child process: no warning, no traceback, and it exits at once."""
        script = Path(__file__).parents[1] / "scripts" / "single_files.py"
        done = subprocess.run(
            [sys.executable, str(script), end, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stderr, done.stdout, done.returncode) == ("", "fetched\n", 0)
