"""Small files that share a connection and a thread, and faults of one of them."""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from scripted_server import (
    RUN,
    Answer,
    ScriptedServer,
    Seen,
    Stored,
    client,
    error_of,
    redirect,
    refusal,
    remote,
    temporaries,
)
from scripted_server import server as server
from scripted_server import waits as waits
from systems import SYSTEM
from transports import each_transport

from wbfiles_async import (
    DestinationExistsError,
    FileResult,
    IntegrityError,
    LocalWriteError,
    StoreUnavailableError,
    TransferError,
    UnsafePathError,
    _waiting,
)
from wbfiles_async._disk import small_file_writer
from wbfiles_async._disk.part_file import write_whole
from wbfiles_async._download import batch, small_files
from wbfiles_async._download.file import SMALL_BYTES
from wbfiles_async._http import batch_worker
from wbfiles_async._http.connect import Connector, Origin
from wbfiles_async._http.connection import Connection
from wbfiles_async._http.errors import StaleConnectionError
from wbfiles_async._http.http1 import ResponseHead
from wbfiles_async._store.concurrency import FIRST

pytestmark = pytest.mark.usefixtures("waits")

DATA = bytes(range(256)) * 16
ODD = "17"
"""The name of the file with a fault, in the middle of the others."""


@pytest.fixture(autouse=True)
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk as it is, or one on which each file but the first counts as having waited."""
    if getattr(request, "param", "as it is") == "with latency":
        monkeypatch.setattr(_waiting, "LONG_WAIT", -1.0)
        monkeypatch.setattr(_waiting, "_LOCK_WAIT", 1e9)
        monkeypatch.setattr(_waiting, "_JUDGED", 1)


each_disk = pytest.mark.parametrize("disk", ["as it is", "with latency"], indirect=True)


def put_many(server: ScriptedServer, count: int = 40) -> dict[str, bytes]:
    contents = {str(n): DATA[n:] for n in range(count)}
    for name, data in contents.items():
        server.put(name, data)
    return contents


def written(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.name[0] != "."}


def count_requests(server: ScriptedServer) -> Counter[str]:
    return Counter(seen.path.removeprefix("/store/") for seen in server.seen())


@each_disk
async def test_many_files_share_a_connection_with_one_request_each(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server)
    async with client(server, connections=1) as api:
        report = await api.run(RUN).download(tmp_path)
    assert written(tmp_path) == contents
    assert (report.downloaded, report.verified, report.parts) == (40, 40, 40)
    assert set(count_requests(server).values()) == {1}
    assert len({seen.connection for seen in server.seen()}) == 1


async def test_completed_files_are_released_while_the_batch_continues(server: ScriptedServer, tmp_path: Path) -> None:
    put_many(server, 1000)
    alive = 0

    def count(result: FileResult) -> None:
        nonlocal alive
        if result.name == "999":
            alive = sum(isinstance(it, batch.PlannedSmallFile) for it in gc.get_objects())

    async with client(server, connections=1) as api:
        await api.run(RUN).download(tmp_path, on_result=count)
    assert len({seen.connection for seen in server.seen()}) == 1
    assert 1 <= alive < 500


async def test_few_files_are_spread_over_the_connections(server: ScriptedServer, tmp_path: Path) -> None:
    gate = asyncio.Event()
    contents = {str(n): DATA for n in range(FIRST)}
    for name, data in contents.items():
        server.put(name, data, Stored(data).but(gate=gate))
    async with client(server) as api:
        task = asyncio.create_task(api.run(RUN).download(tmp_path))
        async with asyncio.timeout(5):
            while server.busy < FIRST:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        gate.set()
        await task
    assert written(tmp_path) == contents


ONCE: dict[str, tuple[Callable[[bytes], tuple[Answer | Stored, ...]], int]] = {
    "sent in chunks": (lambda data: (Answer(body=data, framing="chunked"),), 1),
    "sent without a length": (lambda data: (Answer(body=data, framing="none"),), 1),
    "sent as a part": (
        lambda data: (
            Answer(status=206, headers={"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}, body=data),
        ),
        1,
    ),
    "on a connection that closes": (lambda data: (Answer(body=data, headers={"Connection": "close"}, end="close"),), 1),
    "a temporary 503": (lambda data: (refusal(503, "SlowDown"), Stored(data)), 2),
    "an expired URL": (lambda data: (refusal(403, "AccessDenied", "Request has expired"), Stored(data)), 2),
    "a reset before the response": (lambda data: (Answer(head=b"", end="reset"), Stored(data)), 2),
    "a reset within the body": (lambda data: (Answer(body=data, cut=100, end="reset"), Stored(data)), 2),
    "a truncated body": (lambda data: (Answer(body=data, cut=100, end="close"), Stored(data)), 2),
    "a stalled store": (lambda data: (Answer(head=b"", end="stall"), Stored(data)), 2),
    "a store that stalls midway": (lambda data: (Answer(body=data, cut=100, end="stall"), Stored(data)), 2),
    "not HTTP": (lambda data: (Answer(head=b"HELLO\r\n\r\n", end="close"), Stored(data)), 2),
    "an endless head": (lambda data: (Answer(head=b"HTTP/1.1 200 OK\r\nA: " + bytes(200_000)), Stored(data)), 2),
    "wrong bytes": (lambda data: (Answer(body=data[::-1]), Stored(data)), 2),
    "a longer body": (lambda data: (Answer(body=data + b"!"), Stored(data)), 2),
    "another length": (lambda data: (Answer(body=data[1:]), Stored(data)), 2),
}


def patience(steps: object) -> float:
    """Return the stall timeout in seconds: short only if a connection is silent, since machines are busy."""
    return 1.0 if steps in (ONCE["a stalled store"][0], ONCE["a store that stalls midway"][0]) else 10.0


@each_transport
@pytest.mark.parametrize(("steps", "requests"), ONCE.values(), ids=ONCE)
async def test_unexpected_response_costs_no_other_file_a_request(
    server: ScriptedServer,
    tmp_path: Path,
    steps: Callable[[bytes], tuple[Answer | Stored, ...]],
    requests: int,
) -> None:
    contents = put_many(server)
    server.put(ODD, contents[ODD], *steps(contents[ODD]))
    async with client(server, connections=2, stall_seconds=patience(steps)) as api, asyncio.timeout(30):
        report = await api.run(RUN).download(tmp_path)
    assert written(tmp_path) == contents
    assert (report.downloaded, report.verified) == (40, 40)
    counted = count_requests(server)
    assert counted.pop(ODD) == requests
    assert set(counted.values()) == {1}
    assert not temporaries(tmp_path)


@pytest.mark.parametrize("disk", ["with latency"], indirect=True)
@pytest.mark.parametrize(("steps", "requests"), ONCE.values(), ids=ONCE)
async def test_unexpected_response_on_a_disk_with_latency(
    server: ScriptedServer, tmp_path: Path, steps: Callable[[bytes], tuple[Answer | Stored, ...]], requests: int
) -> None:
    contents = put_many(server)
    server.put(ODD, contents[ODD], *steps(contents[ODD]))
    async with client(server, connections=2, stall_seconds=patience(steps)) as api, asyncio.timeout(20):
        report = await api.run(RUN).download(tmp_path)
    assert written(tmp_path) == contents
    assert (report.downloaded, report.verified) == (40, 40)
    assert count_requests(server)[ODD] == requests
    assert not temporaries(tmp_path)


class Writing:
    """Writes each small file a few milliseconds late; counts the concurrent writes, and those through a stage."""

    def __init__(self) -> None:
        self.now = self.most = self.staged = 0

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.staged += kwargs.get("stage") is not None
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            time.sleep(0.005)
            return write_whole(*args, **kwargs)  # type: ignore[arg-type]
        finally:
            self.now -= 1


async def test_disk_with_latency_is_used_by_several_threads(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents, writing = put_many(server, 200), Writing()
    monkeypatch.setattr(small_file_writer, "write_whole", writing)
    monkeypatch.setattr(_waiting, "_LOCK_WAIT", 1e9)  # independent of other work on the machine
    async with client(server, connections=2) as api:
        report = await api.run(RUN).download(tmp_path)
    assert {name: data for name, data in written(tmp_path).items() if name in contents} == contents
    assert (report.downloaded, report.verified) == (200, 200)
    assert writing.most > 4
    assert (writing.staged > 0) == (SYSTEM == "linux")
    assert not temporaries(tmp_path)


async def test_fast_disk_has_no_stage(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise AssertionError

    put_many(server, 200)
    monkeypatch.setattr(small_file_writer, "open_stage", refuse)
    monkeypatch.setattr(_waiting, "LONG_WAIT", 1e9)  # also on a busy machine
    async with client(server, connections=4) as api:
        report = await api.run(RUN).download(tmp_path)
        await asyncio.gather(
            *(remote(api, node).fetch(tmp_path / "fetched") for node in server.files.values()),
        )
    assert report.downloaded == 200


async def test_cancelled_download_writes_nothing_more(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_many(server, 400)
    writing = Writing()
    monkeypatch.setattr(small_file_writer, "write_whole", writing)
    monkeypatch.setattr(_waiting, "_LOCK_WAIT", 1e9)
    async with client(server, connections=2) as api, asyncio.timeout(20):
        task = asyncio.create_task(api.run(RUN).download(tmp_path))
        while writing.most < 8 or (SYSTEM == "linux" and not writing.staged):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert writing.now == 0
    assert not temporaries(tmp_path)


async def test_truncated_body_is_resumed_at_the_next_byte(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server)
    server.put(ODD, contents[ODD], Stored(contents[ODD]).but(cut=100, end="close"), Stored(contents[ODD]))
    async with client(server, connections=1) as api:
        await api.run(RUN).download(tmp_path)
    assert [seen.range for seen in server.seen(f"/store/{ODD}")] == [None, (100, len(contents[ODD]))]
    assert written(tmp_path) == contents


async def test_files_after_a_resumed_one_are_requested_whole(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server)
    server.put("0", contents["0"], Stored(contents["0"]).but(cut=100, end="close"), Stored(contents["0"]))
    async with client(server, connections=1) as api:
        await api.run(RUN).download(tmp_path)
    assert [(seen.path, seen.range) for seen in server.seen() if seen.range] == [
        ("/store/0", (100, len(contents["0"])))
    ]
    assert written(tmp_path) == contents
    assert count_requests(server) == Counter(contents.keys()) + Counter(["0"])


async def test_redirect_is_followed(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server)
    server.put(ODD, contents[ODD], redirect(server.url("/store/elsewhere")))
    server.on("/store/elsewhere", Stored(contents[ODD]))
    async with client(server, connections=1) as api:
        await api.run(RUN).download(tmp_path)
    assert written(tmp_path) == contents
    assert set(count_requests(server).values()) == {1}


@each_disk
async def test_wrong_bytes_are_requested_twice_and_never_published(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server)
    server.put(ODD, contents.pop(ODD), Answer(body=DATA[17:][::-1]))
    async with client(server, connections=1) as api:
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
    assert [type(failure.error) for failure in report.failures] == [IntegrityError]
    assert count_requests(server)[ODD] == 2
    assert written(tmp_path) == contents


@each_disk
async def test_store_that_closes_after_a_few_responses_is_reconnected(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server)
    answered = Counter[int]()

    def fifth_is_the_last(data: bytes) -> Callable[[Seen], Answer]:
        def answer(seen: Seen) -> Answer:  # it closes without announcing that
            answered[seen.connection] += 1
            return Answer(body=data, end="close" if answered[seen.connection] == 5 else "keep")

        return answer

    for name, data in contents.items():
        server.put(name, data, fifth_is_the_last(data))
    async with client(server, connections=2) as api:
        await api.run(RUN).download(tmp_path)
    assert written(tmp_path) == contents
    assert set(count_requests(server).values()) == {1}


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Origin]:
    """The origins that the event loop has connected to, one entry for each connection."""
    origins, connect = list[Origin](), Connector.connect

    async def recorded(self: Connector, origin: Origin, **options: Any) -> Connection:
        origins.append(origin)
        return await connect(self, origin, **options)

    monkeypatch.setattr(Connector, "connect", recorded)
    return origins


@each_disk
@pytest.mark.parametrize("headers", [{"Connection": "close"}, {}], ids=["announced", "without notice"])
async def test_connections_of_a_server_that_closes_each_are_renewed_in_the_thread(
    server: ScriptedServer, tmp_path: Path, connected: list[Origin], headers: dict[str, str]
) -> None:
    contents = put_many(server)
    for name, data in contents.items():
        server.put(name, data, Answer(body=data, headers=headers, end="close"))
    async with client(server, connections=2) as api:
        await api.run(RUN).download(tmp_path)
    assert written(tmp_path) == contents
    assert set(count_requests(server).values()) == {1}
    assert len({seen.connection for seen in server.seen()}) == 40
    if headers:
        assert len(connected) < 10  # the first ones, and those to the API
    else:  # some closes arrive only after the next request was sent
        assert len(connected) < 40


@pytest.fixture
def unanswered() -> Iterator[tuple[str, int]]:
    """The address of a listener with a full backlog, to which a connection never completes."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()


@each_disk
@pytest.mark.parametrize("fault", ["it fails at once", "the server refuses", "the server does not answer"])
async def test_failed_renewal_costs_no_file_a_request(
    server: ScriptedServer,
    tmp_path: Path,
    unanswered: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    contents = put_many(server, 12)
    for name, data in contents.items():
        server.put(name, data, Answer(body=data, headers={"Connection": "close"}, end="close"))
    renewals = 0

    def renew(connection: Connection) -> None:
        nonlocal renewals
        renewals += 1
        connection.close()
        if fault == "it fails at once":
            raise StaleConnectionError
        connection.socket = socket.socket()
        connection.socket.setblocking(False)
        connection.socket.connect_ex(unanswered if "not answer" in fault else ("127.0.0.1", 1))

    monkeypatch.setattr(Connection, "renew", renew)
    caplog.set_level(logging.INFO, "wbfiles_async")
    async with client(server, connections=1, connect_timeout=0.2) as api:
        report = await api.run(RUN).download(tmp_path)
    assert renewals
    assert written(tmp_path) == contents
    assert report.downloaded == 12
    assert set(count_requests(server).values()) == {1}
    assert ("127.0.0.1 cannot be reached (no connection in time)" in caplog.text) is ("not answer" in fault)


@each_disk
async def test_slow_file_delays_no_other(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server, 100)
    gate, others = asyncio.Event(), asyncio.Event()
    server.put(ODD, contents[ODD], Stored(contents[ODD]).but(gate=gate))
    results: list[str] = []

    def note(result: FileResult) -> None:
        results.append(result.name)
        if len(results) == 99:
            others.set()

    async with client(server, connections=2) as api, asyncio.timeout(30):
        task = asyncio.create_task(api.run(RUN).download(tmp_path, on_result=note))
        await others.wait()
        assert ODD not in results
        gate.set()
        report = await task
    assert (report.downloaded, report.verified) == (100, 100)
    assert written(tmp_path) == contents
    assert set(count_requests(server).values()) == {1}


@pytest.mark.fault(102)
async def test_slow_disk_leaves_the_event_loop_free(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_many(server)
    threads, loop = set[int](), asyncio.get_running_loop()

    def slowly(*args: object, **kwargs: object) -> object:
        threads.add(threading.get_ident())
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)  # unless the loop is what waits
        return write_whole(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(small_file_writer, "write_whole", slowly)
    async with client(server) as api:
        assert (await api.run(RUN).download(tmp_path)).downloaded == 40
    assert threads
    assert threading.get_ident() not in threads


@each_disk
async def test_slow_disk_is_not_a_stall(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_many(server, 8)

    def slowly(*args: object, **kwargs: object) -> object:
        time.sleep(0.25)
        return write_whole(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(small_file_writer, "write_whole", slowly)
    async with client(server, stall_seconds=0.4, stall_bytes=1 << 20) as api:
        report = await api.run(RUN).download(tmp_path)
    assert report.downloaded == 8
    assert set(count_requests(server).values()) == {1}


@each_disk
async def test_unwritable_file_fails_alone(server: ScriptedServer, tmp_path: Path) -> None:
    contents = put_many(server)
    (tmp_path / ODD).mkdir()
    async with client(server, connections=1) as api:
        report = await api.run(RUN).download(tmp_path, existing="replace", raise_on_error=False)
    del contents[ODD]
    assert [type(failure.error) for failure in report.failures] == [LocalWriteError]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file() and path.name[0] != "."} == (
        contents
    )


@each_disk
async def test_exception_in_a_callback_ends_the_download_unchanged(server: ScriptedServer, tmp_path: Path) -> None:
    put_many(server)

    def refuse(result: FileResult) -> None:
        raise RuntimeError(result.name)

    async with client(server) as api:
        with pytest.raises(RuntimeError):
            await api.run(RUN).download(tmp_path, on_result=refuse)
    assert not temporaries(tmp_path)


@each_disk
async def test_unexpected_error_fails_its_file_alone(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = put_many(server)
    accepts = batch.SmallFile.accepts

    def fail_for_one(self: batch.SmallFile, head: ResponseHead) -> bool:
        return accepts(self, head) if self.file.name != ODD else bool(1 / 0)

    monkeypatch.setattr(batch.SmallFile, "accepts", fail_for_one)
    async with client(server, connections=1) as api, asyncio.timeout(5):
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
    assert [(failure.name, type(failure.error)) for failure in report.failures] == [(ODD, TransferError)]
    assert "ZeroDivisionError" in str(report.failures[0].error)
    del contents[ODD]
    assert written(tmp_path) == contents


class FaultySelector(selectors.DefaultSelector):
    """A selector of the threads of batches that fails in one of its methods, at some of its calls.

    Attributes:
        method: The name of the method.
        calls: The numbers of the calls that fail.
        error: What they raise.
    """

    method: ClassVar = ""
    calls: ClassVar[Container[int]] = ()
    error: ClassVar[BaseException] = OSError()
    _calls: ClassVar[Iterator[int]]

    def __init__(self) -> None:
        self._fail("__init__")
        super().__init__()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._fail("register")
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._fail("select")
        return super().select(timeout)

    def _fail(self, method: str) -> None:
        if method == self.method and next(self._calls) in self.calls:
            raise self.error


ALWAYS = range(1, 10**6)


@each_disk
@pytest.mark.parametrize("calls", [(1,), range(1, 20), ALWAYS], ids=["once", "often", "always"])
@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("__init__", OSError(errno.EMFILE, "too many open files")),
        ("register", OSError(errno.ENOMEM, "no memory")),
        ("select", OSError(errno.ENOMEM, "no memory")),
        ("select", SystemExit(1)),
    ],
    ids=["no thread", "no registration", "no events", "an exit"],
)
async def test_failure_of_the_thread_leaves_no_file_waiting(
    server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    error: BaseException,
    calls: Container[int],
) -> None:
    contents = put_many(server)
    monkeypatch.setattr(FaultySelector, "method", method)
    monkeypatch.setattr(FaultySelector, "calls", calls)
    monkeypatch.setattr(FaultySelector, "error", error)
    monkeypatch.setattr(FaultySelector, "_calls", itertools.count(), raising=False)
    async with client(server, connections=2, attempts=1 if calls == ALWAYS else 30) as api, asyncio.timeout(20):
        monkeypatch.setitem(vars(vars(batch_worker)["selectors"]), "DefaultSelector", FaultySelector)
        report = await api.run(RUN).download(tmp_path / "bulk", raise_on_error=False)
        one_by_one = [remote(api, node).fetch(tmp_path / "single") for node in server.files.values()]
        outcomes = await asyncio.gather(*one_by_one, return_exceptions=True)
        monkeypatch.undo()
    errors: list[BaseException | None] = [failure.error for failure in report.failures]
    errors += [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {type(each) for each in errors} <= {TransferError, StoreUnavailableError}
    assert bool(errors) == (calls == ALWAYS and method != "__init__")
    if not errors:
        assert written(tmp_path / "bulk") == written(tmp_path / "single") == contents


@each_disk
async def test_largest_small_file_with_a_large_head_fits(server: ScriptedServer, tmp_path: Path) -> None:
    data = bytes(SMALL_BYTES)
    headers = {f"X-{n}": "x" * 1000 for n in range(60)}
    for n in range(3):
        server.put(str(n), data, Answer(body=data, headers=headers))
    async with client(server, connections=1) as api:
        report = await api.run(RUN).download(tmp_path)
    assert (report.downloaded, len(server.seen())) == (3, 3)


class TestOneFile:
    """``fetch`` of a single small file uses the same path if a connection is idle."""

    async def test_sequential_files_share_a_connection_with_one_request_each(
        self, server: ScriptedServer, tmp_path: Path
    ) -> None:
        contents = put_many(server)
        async with client(server) as api:
            async for file in api.run(RUN).files():
                assert await file.fetch(tmp_path) == tmp_path / file.name
        assert written(tmp_path) == contents
        assert set(count_requests(server).values()) == {1}
        assert len({seen.connection for seen in server.seen()}) == 1

    async def test_existing_file_is_kept_without_a_request(self, server: ScriptedServer, tmp_path: Path) -> None:
        first, second = server.put("first", DATA), server.put("second", DATA)
        (tmp_path / "second").write_bytes(b"mine")
        async with client(server) as api:
            await remote(api, first).fetch(tmp_path)
            error = await error_of(DestinationExistsError, remote(api, second).fetch(tmp_path))
            assert await remote(api, second).fetch(tmp_path, exist_ok=True) == tmp_path / "second"
            assert str(tmp_path / "second") in str(error)
            assert count_requests(server) == {"first": 1}
            await remote(api, second).fetch(tmp_path, replace=True)
        assert (tmp_path / "second").read_bytes() == DATA

    async def test_unusable_target_is_reported_without_a_request(self, server: ScriptedServer, tmp_path: Path) -> None:
        first, second = server.put("first", DATA), server.put("folder/second", DATA)
        (tmp_path / "outside").mkdir()
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / "folder").symlink_to(tmp_path / "outside")
        async with client(server) as api:
            await remote(api, first).fetch(tmp_path)
            await error_of(UnsafePathError, remote(api, second).fetch(tmp_path / "root"))
            assert count_requests(server) == {"first": 1}
            await remote(api, first).fetch(tmp_path, replace=True)
        assert len({seen.connection for seen in server.seen()}) == 1, "nothing was wrong with the connection"

    @each_transport
    @pytest.mark.parametrize(("steps", "requests"), ONCE.values(), ids=ONCE)
    async def test_unexpected_responses_are_survived(
        self,
        server: ScriptedServer,
        tmp_path: Path,
        steps: Callable[[bytes], tuple[Answer | Stored, ...]],
        requests: int,
    ) -> None:
        first, second = server.put("first", DATA), server.put("second", DATA, *steps(DATA))
        async with client(server, stall_seconds=patience(steps)) as api, asyncio.timeout(30):
            await remote(api, first).fetch(tmp_path)
            await remote(api, second).fetch(tmp_path)
        assert written(tmp_path) == {"first": DATA, "second": DATA}
        assert count_requests(server) == {"first": 1, "second": requests}

    async def test_thread_ends_with_the_client(
        self, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(small_files, "PAUSE_SECONDS", 60.0)  # it would wait for so long by itself
        before = set(threading.enumerate())
        nodes = [server.put(str(n), DATA) for n in range(3)]
        async with client(server) as api:
            for node in nodes:
                await remote(api, node).fetch(tmp_path)
        async with asyncio.timeout(30):
            while not set(threading.enumerate()) <= before:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
