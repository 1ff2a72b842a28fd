"""A scripted server for tests: a program answers each request, down to its bytes and how they end.

It speaks raw HTTP/1.1 in the test's own event loop, logs every request, and is the API (a listing of what was `put`)
and the store at once.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import logging
import pickle
import re
import socket
import ssl
import struct
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote, unquote

import attrs
import pytest
from transports import OURS, ProxyScheme, Transport, server_context

from wbfiles_async import AsyncApi, AsyncFile, TransferOptions, WBFilesError
from wbfiles_async._clock import Clock

Failed = TypeVar("Failed", bound=WBFilesError)

API_KEY = "0123456789" * 4
RUN = "team/project/run1"
SIGNATURE = "0123456789abcdef-secret"
"""The signature in URLs; must never appear in a message."""


@attrs.frozen
class Seen:
    """A request as it was received.

    Attributes:
        method: Such as ``GET``.
        target: The request's target, exactly as it was on the wire.
        headers: By name in lower case.
        body: The whole body.
        connection: The number of the connection; equal for requests over the same one.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def range(self) -> tuple[int, int | None] | None:
        """The requested range as ``[start, stop)``; ``None`` if the whole was requested."""
        match = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", self.headers.get("range", ""))
        return match and (int(match[1]), int(match[2]) + 1 if match[2] else None)


End = Literal["keep", "close", "reset", "stall"]


@attrs.frozen(kw_only=True)
class Answer:
    """The response to one request.

    Attributes:
        status: The status of the status line.
        headers: Besides those of the framing.
        body: The whole body.
        framing: ``length``: with a Content-Length; ``chunked``; ``none``: the connection's end is the body's.
        length: The Content-Length to state, if it is not the body's.
        head: Sent as it is instead of status line and headers.
        cut: The number of bytes of the body after which nothing more is sent.
        end: What happens to the connection then: it is kept, closed, reset, or stays open and silent.
        gate: An event to wait for before anything is sent.
        gate_at: The number of bytes of the body before the gate, instead of before the head.
        piece: Bytes of the body to send at a time.
        pause: Seconds between two pieces.
        endless: Whether the body is sent over and over, for as long as the client reads.
        takes: The number of bytes of the request's body that are read before, if not all.
        unread: Whether nothing is sent and the rest of the body is not read, so that the client cannot send it.
    """

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    framing: Literal["length", "chunked", "none"] = "length"
    length: int | None = None
    head: bytes | None = None
    cut: int | None = None
    end: End = "keep"
    gate: asyncio.Event | None = None
    gate_at: int | None = None
    piece: int = 1 << 16
    pause: float = 0.0
    endless: bool = False
    takes: int | None = None
    unread: bool = False

    def but(self, **changes: Any) -> Answer:
        """Return the same response with some changes."""
        return attrs.evolve(self, **changes)


Program = Callable[[Seen], "Answer | Awaitable[Answer]"]
Step = Answer | Program


@attrs.define
class Stored:
    """A stored object, served like a good store: ranges, If-Match and 416.

    Attributes:
        data: Its bytes.
        etag: Its entity tag; ``None`` for a store without them.
        ranges: Whether ranges are served; otherwise the whole is sent for each request.
    """

    data: bytes
    etag: str | None = '"v1"'
    ranges: bool = True

    def __call__(self, seen: Seen) -> Answer:
        """Answer one request."""
        headers = {"ETag": self.etag} if self.etag else {}
        expected = seen.headers.get("if-match")
        if expected and expected != self.etag:
            return refusal(412, "PreconditionFailed")
        if seen.range is None or not self.ranges:
            return Answer(headers=headers, body=self.data)
        start, stop = seen.range
        part = self.data[start:stop]
        if not part:
            return Answer(status=416, headers={"Content-Range": f"bytes */{len(self.data)}"}, body=b"no such range")
        place = f"bytes {start}-{start + len(part) - 1}/{len(self.data)}"
        return Answer(status=206, headers=headers | {"Content-Range": place}, body=part)

    def but(self, **changes: Any) -> Program:
        """Return a program that answers like this object, with some changes to the response."""
        return lambda seen: self(seen).but(**changes)


def refusal(status: int, code: str, message: str = "No.", **headers: str) -> Answer:
    """Return a store's refusal, with the XML that S3 sends."""
    xml = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(
        status=status, body=xml.encode(), headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def redirect(location: str, status: int = 302) -> Answer:
    """Return a redirect."""
    return Answer(status=status, headers={"Location": location})


def graphql_answer(data: object, status: int = 200) -> Answer:
    """Return a response of the API with data."""
    return Answer(status=status, headers={"Content-Type": "application/json"}, body=json.dumps({"data": data}).encode())


def base64_md5(data: bytes) -> str:
    """Return the md5 as W&B states it."""
    return base64.b64encode(hashlib.md5(data).digest()).decode()


class ScriptedServer:
    """Answers requests with programs. Use as an async context manager.

    Args:
        tls: Speaks TLS if given.
        proxy: The scheme of the proxy through which it is reached, if any, and which it is itself.

    Attributes:
        requests: All requests, oldest first.
        files: The listed nodes of the run `RUN`; tests may change them at any time.
        busy: Requests to the store in progress.
        most_busy: The maximum of ``busy``.
        sent: Bytes of bodies that the network has taken.
        proxy: The scheme of the proxy that it is, if any.
        transport: The transport of its clients.
        upload_headers: The header fields that it requests for uploads.
        marks_uploads: Whether it lists an upload only after it has been marked.
        unmarked: Uploads that have not been marked yet.
        reads_on: If there is one, only the beginning of a body is read until it is set.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, proxy: ProxyScheme | None = None) -> None:
        self.requests: list[Seen] = []
        self.files: dict[str, dict[str, object]] = {}
        self.busy = self.most_busy = self.sent = 0
        self._tls = tls
        self.proxy = proxy
        self.transport = OURS
        self._scripts: dict[str, list[Step]] = {"/graphql": [self.answer_api]}
        self.upload_headers: list[str] = []
        self.marks_uploads = True
        self.unmarked: dict[str, dict[str, object]] = {}
        self.reads_on: asyncio.Event | None = None
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[object]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._outer_tls, limit=1 << 20)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)  # aborted connections close their sockets in the next iteration of the loop

    @property
    def tasks(self) -> set[asyncio.Task[object]]:
        """The server's own tasks, which tests for leftover tasks ignore."""
        return set(self._tasks)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def _outer_tls(self) -> ssl.SSLContext | None:
        """What connections begin with."""
        if self.proxy:
            return server_context() if self.proxy == "https" else None
        return self._tls

    @property
    def base_url(self) -> str:
        """Its origin, also of the API."""
        scheme = "https" if self._tls else "http"
        if self.proxy:
            return f"{scheme}://store.test"
        return f"{scheme}://{'localhost' if self._tls else '127.0.0.1'}:{self.port}"

    @property
    def proxy_url(self) -> str:
        """The URL of the proxy that it is."""
        return f"{self.proxy}://{'localhost' if self.proxy == 'https' else '127.0.0.1'}:{self.port}"

    def url(self, path: str) -> str:
        """Return the signed URL of a path."""
        return f"{self.base_url}{path}?X-Amz-Signature={SIGNATURE}"

    def on(self, path: str, *steps: Step) -> None:
        """Answer the n-th request for a path with the n-th step, and all later ones with the last."""
        self._scripts[path] = list(steps)

    def put(self, name: str, data: bytes, *steps: Step, **attributes: object) -> dict[str, object]:
        """Store an object and list it.

        Args:
            name: The file's name in the run.
            data: The bytes that the listing states, and that are served without steps.
            steps: The responses to its requests.
            attributes: Attributes of the node, in place of the right ones.

        Returns:
            The node.
        """
        path = f"/store/{quote(name)}"
        self.on(path, *(steps or (Stored(data),)))
        node: dict[str, object] = {
            "id": f"id-{name}",
            "name": name,
            "url": None,
            "directUrl": self.url(path),
            "sizeBytes": len(data),
            "md5": base64_md5(data),
            "mimetype": "application/octet-stream",
            "updatedAt": "2026-01-01T00:00:00",
        }
        self.files[name] = node | attributes
        return self.files[name]

    def seen(self, path: str = "/store/") -> list[Seen]:
        """Return the requests for a path, or for all below a path that ends with ``/``."""
        return [s for s in self.requests if s.path == path or (path.endswith("/") and s.path.startswith(path))]

    def takes(self, name: str, *steps: Step) -> None:
        """Answer the n-th upload of a file with the n-th step, later ones with the last; by default store it."""
        self.on(f"/upload/{quote(name)}", *(steps or (self.keep,)))

    def keep(self, seen: Seen) -> Answer:
        """Store a complete upload, and list it."""
        self.store(unquote(seen.path.removeprefix("/upload/")), seen.body)
        return Answer(headers={"ETag": '"kept"'})

    def store(self, name: str, data: bytes) -> None:
        """Store an object; list it now, or after it has been marked if that is required."""
        before = self.files.get(name)
        node = self.put(name, data, updatedAt=f"2026-02-02T00:00:{len(self.requests) % 60:02}")
        if self.marks_uploads:
            self.unmarked[name] = node
            del self.files[name]
            if before is not None:
                self.files[name] = before

    def answer_api(self, seen: Seen) -> Answer:
        """Answer a request to the API."""
        body = json.loads(seen.body)
        query, files = body["query"], body["variables"].get("files", [])
        if "createRunFiles" in query:
            for name in files:
                if f"/upload/{quote(name)}" not in self._scripts:
                    self.takes(name)
            targets = [{"name": name, "uploadUrl": self.url(f"/upload/{quote(name)}")} for name in files]
            payload = {"runID": "UnVu", "uploadHeaders": self.upload_headers, "files": targets}
            return graphql_answer({"createRunFiles": payload})
        if "markRunFilesUploaded" in query:
            self.files.update({name: self.unmarked.pop(name) for name in files if name in self.unmarked})
            return graphql_answer({"markRunFilesUploaded": {"success": True}})
        if "deleteFiles" in query:
            self.files = {name: node for name, node in self.files.items() if node["id"] not in files}
            return graphql_answer({"deleteFiles": {"success": True}})
        if "serverInfo" in query:
            features = [{"name": "MARK_RUN_FILES_UPLOADED", "isEnabled": True}] if self.marks_uploads else []
            return graphql_answer({"serverInfo": {"features": features}})
        return self.list_files(seen)

    def list_files(self, seen: Seen) -> Answer:
        """Answer a query for the files of a run, from `files`."""
        variables = json.loads(seen.body)["variables"]
        names = variables.get("fileNames") or list(self.files)
        edges = [{"node": self.files[name], "cursor": name} for name in names if name in self.files]
        files = {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}
        run = {"fileCount": len(self.files), "files": files}
        return graphql_answer({"project": {"internalId": "7", "run": run}})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        connection = next(self._numbers)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._open_tunnel(reader, writer)
                while await self._answer(await self._read(reader, connection), reader, writer):
                    pass
            self._writers.discard(writer)
        except asyncio.CancelledError:
            pass  # the server is closed
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _open_tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As a proxy, connect to itself: by SOCKS5, RFC 1928, or if it speaks TLS by CONNECT."""
        if self.proxy == "socks5h":
            await reader.readexactly((await reader.readexactly(2))[1])  # the supported methods
            writer.write(b"\x05\x00")  # no authentication
            length = (await reader.readexactly(5))[4]
            assert await reader.readexactly(length + 2) == b"store.test" + struct.pack("!H", 443 if self._tls else 80)
            writer.write(b"\x05\x00\x00\x01" + bytes(6))
        elif self.proxy and self._tls:
            assert (await _read_head(reader, 0)).target == "store.test:443"
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        if self.proxy and self._tls:
            await writer.start_tls(self._tls)

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> Seen:
        """Read a request, as far as its response requires; with the whole URL if this is its proxy without a tunnel."""
        seen = await _read_head(reader, connection)
        if self.proxy in {"http", "https"} and not self._tls:
            assert seen.target.startswith(f"{self.base_url}/")
            seen = attrs.evolve(seen, target=seen.target.removeprefix(self.base_url))
        steps = self._scripts.get(seen.path)
        takes = steps[0].takes if steps and isinstance(steps[0], Answer) else None
        length = int(seen.headers.get("content-length", "0"))
        beginning = b""
        if self.reads_on is not None and seen.path.startswith("/upload/"):
            beginning = await reader.readexactly(min(length, 2000))
            await self.reads_on.wait()
        rest = (length if takes is None else min(takes, length)) - len(beginning)
        return attrs.evolve(seen, body=beginning + await reader.readexactly(rest))

    async def _answer(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection can be kept."""
        self.requests.append(seen)
        counted = seen.path.startswith(("/store/", "/upload/"))
        self.busy += counted
        self.most_busy = max(self.most_busy, self.busy)
        try:
            answer = await self._next_answer(seen)
            if answer.unread:
                await asyncio.Event().wait()
            if answer.gate is not None and answer.gate_at is None:
                await _opened(answer.gate, reader)
            writer.write(_head(answer))
            await self._send_body(answer, reader, writer)
        finally:
            # Before the last byte can have been read, after which the client may rely on the slot.
            self.busy -= counted
        await writer.drain()
        match answer.end:
            case "reset":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case "stall":
                await reader.read(1)
            case "keep":
                return answer.framing != "none"
        return False

    async def _next_answer(self, seen: Seen) -> Answer:
        steps = self._scripts.get(seen.path)
        if not steps:
            return Answer(status=404, body=b"nothing is scripted for this path")
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        answer = step if isinstance(step, Answer) else step(seen)
        return answer if isinstance(answer, Answer) else await answer

    async def _send_body(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = answer.body if answer.cut is None else answer.body[: answer.cut]
        gate_at = -1 if answer.gate is None or answer.gate_at is None else answer.gate_at
        chunked = answer.framing == "chunked"
        while True:
            sent = 0
            while sent < len(body):
                if sent == gate_at and answer.gate is not None:
                    await writer.drain()
                    await _opened(answer.gate, reader)
                step = min(answer.piece, len(body) - sent, gate_at - sent if sent < gate_at else len(body))
                piece = body[sent : sent + step]
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                sent += step
                if sent < len(body) or answer.endless:
                    await writer.drain()
                self.sent += step
                if answer.pause:
                    await asyncio.sleep(answer.pause)
            if not answer.endless:
                break
        if chunked and answer.cut is None:
            writer.write(b"0\r\n\r\n")


class LastingApi(AsyncApi):
    """A client that is checked to work at the end of its `async with` block.

    It fetches another file, from another store, with every slot free; the test's server does not see it.
    """

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            session = None if error else self._gateway._session
            if session is not None:  # it has sent a request, and is not closed
                async with ScriptedServer() as other, asyncio.timeout(10):
                    while session.limits.under_way:  # noqa: ASYNC110  # of tasks that the test leaves to the end
                        await asyncio.sleep(0.001)
                    assert session.limits.free == session.limits.most
                    assert await remote(self, other.put("another", b"file")).read_bytes() == b"file"
        finally:
            await super().__aexit__(kind, error, trace)
            if (injected := self._gateway._http_options.http_client) is not None:
                await injected.aclose()


def client(server: ScriptedServer, **options: Any) -> AsyncApi:
    """Return a client of the server with short timeouts; options as for `TransferOptions`, and ``api_key``."""
    api_key = options.pop("api_key", API_KEY)
    options.setdefault("insecure_stores", server.base_url.startswith("https:"))  # for the other store at the end
    if server.proxy:
        options.setdefault("private_stores", True)  # for the same one
    made = LastingApi(base_url=server.base_url, api_key=api_key, options=quick(**options), **server.transport.inject())
    return with_clock(made)


def with_clock(api: AsyncApi) -> AsyncApi:
    """Return the client with the clock of `clients_use`, such as that of the fixture `waits`."""
    api._gateway.clock = _clocks[-1]
    return api


def quick(**options: Any) -> TransferOptions:
    """Return options with short timeouts and without resuming."""
    return attrs.evolve(
        TransferOptions(attempts=3, stall_seconds=5.0, connect_timeout=5.0, time_budget=20.0, resume=False), **options
    )


def remote(api: AsyncApi, node: Mapping[str, object]) -> AsyncFile:
    """Return the file of a node from `ScriptedServer.put`."""
    return AsyncFile(api, node, api.run(RUN))


async def error_of(kind: type[Failed], work: Awaitable[object]) -> Failed:
    """Await work that must fail with this kind of error, and search the error for secrets.

    Returns:
        The error; it has a message, pickles, and shows no secret in any form.
    """
    with pytest.raises(kind) as caught:
        await work
    error = caught.value
    assert str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + repr(pickle.dumps(error))
    assert not secrets_in(shown)
    return error


def secrets_in(text: str) -> list[str]:
    """Return the secrets in a text: the key, plain and encoded, and signatures."""
    encoded = base64.b64encode(f"api:{API_KEY}".encode()).decode()
    return [secret for secret in (API_KEY, encoded, SIGNATURE, "X-Amz-") if secret in text]


def temporaries(root: Path) -> list[Path]:
    """Return the unfinished downloads below a folder, and the folders for them."""
    return list(root.rglob("*.wbfiles-part"))


@pytest.fixture
async def server(
    caplog: pytest.LogCaptureFixture, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ScriptedServer]:
    """A scripted server for one test, which must log no secret."""
    caplog.set_level(logging.DEBUG)
    async with ScriptedServer(transport.server_context(), proxy=transport.proxy) as running:
        running.transport = transport
        if transport.proxy:
            monkeypatch.setenv("HTTPS_PROXY" if transport.tls else "HTTP_PROXY", running.proxy_url)
        yield running
    logged = [record.getMessage() for record in caplog.get_records("call")]  # caplog.text knows of the teardown only
    assert not secrets_in("\n".join(logged))


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """The waits before retries, in seconds; they end at once, but advance the library's clock."""
    skipping = SkippingClock()
    with clients_use(skipping.clock):
        yield skipping.waits


_clocks = [Clock()]
"""The last one is the clock of the clients of `with_clock`."""


@contextmanager
def clients_use(clock: Clock) -> Iterator[None]:
    """Give a clock to the clients made within the block."""
    _clocks.append(clock)
    try:
        yield
    finally:
        _clocks.pop()


class SkippingClock:
    """A clock whose waits end at once.

    Attributes:
        waits: The requested waits, in seconds.
        clock: The clock for the library.
    """

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._ahead = 0.0
        self.clock = Clock(monotonic=self.monotonic, sleep=self._sleep)

    def monotonic(self) -> float:
        """Return the time, with what was skipped."""
        return time.monotonic() + self._ahead

    def skip(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead += seconds

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        until = self.monotonic() + seconds
        self.waits.append(seconds)
        await asyncio.sleep(0)
        self._ahead += max(0.0, until - self.monotonic())  # concurrent waits pass at the same time


async def _read_head(reader: asyncio.StreamReader, connection: int) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ", 2)
    fields = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    return Seen(method, target, headers, b"", connection)


def _head(answer: Answer) -> bytes:
    if answer.head is not None:
        return answer.head
    headers = dict(answer.headers)
    match answer.framing:
        case "length":
            headers["Content-Length"] = str(len(answer.body) if answer.length is None else answer.length)
        case "chunked":
            headers["Transfer-Encoding"] = "chunked"
        case "none":
            headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {answer.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _opened(gate: asyncio.Event, reader: asyncio.StreamReader) -> None:
    """Wait for the gate, or for the client to disconnect."""
    waits = {asyncio.ensure_future(gate.wait()), asyncio.ensure_future(reader.read(1))}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not gate.is_set():
            raise ConnectionResetError
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
