"""The wire: exact URLs, TLS, proxies, broken HTTP, and injected transports and clients."""

from __future__ import annotations

import asyncio
import collections
import logging
import random
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import httpx
import httpx2
import pytest
import respx
import trustme
from scripted_server import (
    API_KEY,
    RUN,
    SIGNATURE,
    Answer,
    Program,
    ScriptedServer,
    Seen,
    Stored,
    base64_md5,
    client,
    error_of,
    graphql_answer,
    quick,
    redirect,
    refusal,
    remote,
)
from scripted_server import server as server
from scripted_server import waits as waits
from transports import OURS, ours_and_injected

from wbfiles_async import AsyncApi, AsyncFile, AsyncRun, ConfigurationError, TransferError
from wbfiles_async._http.connection import Connection
from wbfiles_async._http.transport import DrainingTransport

pytestmark = pytest.mark.usefixtures("waits")

MIB = 1 << 20
DATA = bytes(range(256)) * 4096 * 2 + b"the end"

# URLs as they are

ODD = (
    "/store/a%2Fb/c",
    "/store/plus+plus%2Bplus",
    "/store/tilde~%7E%7e",
    "/store/quote'%27",
    "/store/marks!$&'()*,;=:@",
    "/store/lower%c3%a4upper%C3%A4",
    "/store/double//slash//",
    "/store/dot/./dot/../dot",
    "/store/blank%20blank%2520",
    "/store/end;",
)
QUERIES = (
    f"X-Amz-Signature={SIGNATURE}&X-Amz-Credential=AKIA%2F20260101%2Fus-east-1%2fs3%2Faws4_request",
    f"sig={SIGNATURE}%2b%2B+~!'()*;:@/?$,&se=2026-01-01T00%3A00%3A00Z&empty=&&flag",
    f"Signature={SIGNATURE}&Expires=1&response-content-disposition=attachment%3B+filename%3D%22a%20b.txt%22",
)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", ODD)
async def test_signed_url_reaches_the_wire_byte_for_byte(server: ScriptedServer, path: str, query: str) -> None:
    target = f"{path}?{query}"
    server.on(path, Stored(b"data"))
    node = server.put("a", b"data", directUrl=server.base_url + target)
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == b"data"
    assert [seen.target for seen in server.requests] == [target]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", ODD)
async def test_redirected_signed_url_reaches_the_wire_byte_for_byte(
    server: ScriptedServer, path: str, query: str
) -> None:
    target = f"{path}?{query}"
    server.on(path, Stored(b"data"))
    server.on("/files/a", Answer(status=307, headers={"Location": server.base_url + target}))
    node = server.put("a", b"data", directUrl=None, url=f"{server.base_url}/files/a")
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == b"data"
    assert server.requests[-1].target == target


# Connections


@pytest.mark.fault(7)
async def test_stale_connection_costs_no_attempt(server: ScriptedServer) -> None:
    stored = Stored(b"data")
    node = server.put("a", b"data", stored, Answer(head=b"", end="close"), stored)
    async with client(server, attempts=1) as api:
        assert await remote(api, node).read_bytes() == b"data"
        assert await remote(api, node).read_bytes() == b"data"
    first, unanswered, replayed = server.seen()
    assert unanswered.connection == first.connection
    assert replayed.connection != first.connection


async def test_connections_are_kept_for_the_next_file(server: ScriptedServer) -> None:
    nodes = [server.put(str(n), b"data") for n in range(10)]
    async with client(server, connections=2) as api:
        await asyncio.gather(*(remote(api, node).read_bytes() for node in nodes))
    assert len({seen.connection for seen in server.seen()}) <= 2


@asynccontextmanager
async def store_of_one_answer(unsolicited: bytes = b"") -> AsyncIterator[tuple[str, asyncio.Queue[str]]]:
    """A store that answers one request per connection, then sends unsolicited bytes; returns what it receives."""
    events: asyncio.Queue[str] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            events.put_nowait("request")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndata")
            await writer.drain()
            if unsolicited:
                await asyncio.sleep(0.05)  # not together with the response
                writer.write(unsolicited)
                await writer.drain()
                events.put_nowait("sent")
            events.put_nowait("more" if await reader.read(1) else "end")
        writer.close()

    store = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with store:
        yield f"http://127.0.0.1:{store.sockets[0].getsockname()[1]}/a?sig={SIGNATURE}", events


async def test_idle_connection_is_closed_later(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wbfiles_async._http.pool.IDLE_SECONDS", 0.1)
    async with store_of_one_answer() as (url, events), client(server) as api, asyncio.timeout(10):
        assert await remote(api, server.put("a", b"data", directUrl=url)).read_bytes() == b"data"
        assert await events.get() == "request"
        assert await events.get() == "end"


@pytest.mark.parametrize(
    "unsolicited", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"e"], ids=["a response", "a byte"]
)
@pytest.mark.parametrize("how", ["fetch", "read_bytes"])
async def test_unsolicited_bytes_are_no_response(
    server: ScriptedServer, unsolicited: bytes, how: str, tmp_path: Path
) -> None:
    received: list[str] = []
    async with (
        store_of_one_answer(unsolicited) as (url, events),
        client(server, attempts=1) as api,
        asyncio.timeout(10),
    ):
        file = remote(api, server.put("a", b"data", directUrl=url))
        for _ in range(3):
            got = await file.read_bytes() if how == "read_bytes" else await file.fetch(tmp_path, replace=True)
            assert (got.read_bytes() if isinstance(got, Path) else got) == b"data"
            received.append(await events.get())
            while received[-1] != "sent":
                received.append(await events.get())
    assert received.count("request") == 3
    assert "more" not in received


@pytest.mark.fault(7)
async def test_new_connection_without_a_response_costs_an_attempt(server: ScriptedServer) -> None:
    node = server.put("a", b"data", Answer(head=b"", end="close"))
    async with client(server, attempts=2) as api:
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert "without a response" in str(error)
    # The transport itself repeats a GET once, on another connection, if no byte of a response arrived.
    assert len(server.seen()) <= 2 * 2


GARBAGE = {
    "not HTTP": b"220 smtp.example.com ESMTP\r\n\r\n",
    "a status of letters": b"HTTP/1.1 OK 200\r\n\r\n",
    "two contradicting lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
    "a length of letters": b"HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
    "a null in a header": b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 4\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200_000,
}


@pytest.mark.fault(16, 17)
@pytest.mark.parametrize("head", GARBAGE.values(), ids=GARBAGE.keys())
async def test_invalid_http_is_retried_then_reported_in_one_line(server: ScriptedServer, head: bytes) -> None:
    garbage = Answer(head=head, body=b"data", end="close")
    once = server.put("once", b"data", garbage, Stored(b"data"))
    always = server.put("always", b"data", garbage)
    async with client(server, attempts=2) as api:
        assert await remote(api, once).read_bytes() == b"data"
        error = await error_of(TransferError, remote(api, always).read_bytes())
    assert len(str(error)) < 400
    assert "\n" not in str(error)
    assert len(server.seen("/store/always")) == 2


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    "informational", [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", b"HTTP/1.1 102 P\r\n\r\n"]
)
async def test_informational_responses_are_skipped(server: ScriptedServer, informational: bytes) -> None:
    head = informational + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    node = server.put("a", b"data", Answer(head=head, body=b"data"))
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == b"data"


@pytest.mark.fault(17)
async def test_endless_informational_responses_are_an_error(server: ScriptedServer) -> None:
    heads = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000
    node = server.put("a", b"data", Answer(head=heads, body=b"", end="close"))
    async with client(server, attempts=2) as api, asyncio.timeout(10):
        await error_of(TransferError, remote(api, node).read_bytes())


@pytest.mark.fault(14, 17)
async def test_informational_responses_do_not_extend_the_timeout(server: ScriptedServer) -> None:
    hint = Answer(head=b"", body=b"HTTP/1.1 103 Hi\r\n\r\n", framing="none", pause=0.05, endless=True)
    node = server.put("a", b"data", hint)
    async with client(server, attempts=2, stall_seconds=0.2) as api, asyncio.timeout(10):
        await error_of(TransferError, remote(api, node).read_bytes())


async def test_closing_the_transport_aborts_the_body(server: ScriptedServer) -> None:
    server.on("/store/a", Answer(body=b"data", gate=asyncio.Event(), gate_at=2))
    transport = DrainingTransport(ssl.create_default_context)
    response = await transport.handle_async_request(httpx.Request("GET", server.url("/store/a")))
    assert isinstance(response.stream, httpx.AsyncByteStream)
    pieces = aiter(response.stream)
    assert bytes(await anext(pieces)) == b"da"
    await transport.aclose()
    with pytest.raises(httpx.ReadError):
        await anext(pieces)
    await response.aclose()


@pytest.mark.fault(54)
async def test_refused_connection_names_the_host(unused_port: int) -> None:
    async with ScriptedServer() as server, client(server, attempts=2) as api:
        node = server.put("a", b"data", directUrl=f"http://127.0.0.1:{unused_port}/a?sig={SIGNATURE}")
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert error.host == "127.0.0.1"
    assert "cannot be reached" in str(error)


@pytest.mark.fault(54)
async def test_unreachable_store_falls_back_to_the_api_and_is_remembered(
    server: ScriptedServer, unused_port: int
) -> None:
    direct = f"http://127.0.0.1:{unused_port}/a?sig={SIGNATURE}"
    server.on("/files/a", Answer(body=b"data"))
    node = server.put("a", b"data", directUrl=direct, url=f"{server.base_url}/files/a")
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == b"data"
        assert await remote(api, node).read_bytes() == b"data"
    assert [seen.path for seen in server.requests] == ["/files/a", "/files/a"]


async def test_name_is_resolved_for_each_attempt(
    server: ScriptedServer, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(address: str, port: int) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    answers = iter([None, found("127.0.0.1", unused_port), found("127.0.0.1", server.port)])

    def resolve(*_: object, **__: object) -> list[object]:
        answer = next(answers)
        if answer is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    node = server.put("a", b"data", directUrl=f"http://store.example/store/a?sig={SIGNATURE}")
    async with client(server, attempts=3) as api:
        assert await remote(api, node).read_bytes() == b"data"


async def test_unknown_host_raises_after_the_configured_attempts(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts: list[object] = []

    def resolve(host: object, *_: object, **__: object) -> list[object]:
        hosts.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    node = server.put("a", b"data", directUrl=f"http://nowhere.example/store/a?sig={SIGNATURE}")
    async with client(server, attempts=3) as api:
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert "nowhere.example cannot be reached" in str(error)
    assert hosts == ["nowhere.example"] * 3


@pytest.fixture
def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.fault(53)
async def test_changed_address_is_used_by_the_next_attempt(
    server: ScriptedServer, unused_port: int, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    # No answer, an address where nothing listens, the right one.
    answers: list[int | None] = [None, unused_port, server.port]

    def resolve(host: object, port: int, *_: object, **__: object) -> list[object]:
        now = answers.pop(0)
        if now is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", now))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    node = server.put("a", b"data", directUrl=f"http://store.example/store/a?sig={SIGNATURE}")
    async with client(server, attempts=3) as api:
        assert await remote(api, node).read_bytes() == b"data"
    assert answers == []


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def tls_server(certificate: trustme.LeafCert) -> AsyncIterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    async with ScriptedServer(tls=context) as server:
        yield server


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
async def test_authorities_of_the_environment_are_trusted(
    authority: trustme.CA, bundle: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(bundle))
    async with tls_server(authority.issue_cert("localhost")) as server, client(server) as api:
        server.put("a", DATA)
        assert await (await api.run(RUN).file("a")).read_bytes() == DATA


async def test_consecutive_small_files_over_tls(
    authority: trustme.CA, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    contents = {str(n): random.Random(n).randbytes(n * 4000 + 1) for n in range(40)}
    async with tls_server(authority.issue_cert("localhost")) as server, client(server, connections=2) as api:
        for name, data in contents.items():
            server.put(name, data)
        server.put("17", contents["17"], Stored(contents["17"]).but(cut=50_000, end="reset"), Stored(contents["17"]))
        report = await api.run(RUN).download(tmp_path / "out")
    assert (report.downloaded, report.verified, len(server.seen())) == (40, 40, 41)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == contents


@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
async def test_large_file_over_tls(
    authority: trustme.CA, bundle: Path, framing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    data = random.Random(1).randbytes(5 * MIB + 1)
    stored = Stored(data)
    async with tls_server(authority.issue_cert("localhost")) as server, client(server, part_size=2 * MIB) as api:
        # A truncated one, and a small one in between that must find its connection usable.
        small, node = (
            server.put("b", DATA),
            server.put("a", data, stored.but(framing=framing, cut=MIB, end="close"), stored.but(framing=framing)),
        )
        path = await remote(api, node).fetch(tmp_path)
        assert await remote(api, small).read_bytes() == DATA
    assert path.read_bytes() == data


async def test_large_tls_body_is_decrypted_in_threads(
    authority: trustme.CA, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    data = random.Random(1).randbytes(16 * MIB)
    decrypted: dict[int, int] = collections.defaultdict(int)
    read = ssl.SSLSocket.recv_into

    def counted(self: ssl.SSLSocket, *args: Any) -> int:
        count = read(self, *args)
        decrypted[threading.get_ident()] += count
        return count

    monkeypatch.setattr(ssl.SSLSocket, "recv_into", counted)
    async with tls_server(authority.issue_cert("localhost")) as server, client(server, part_size=4 * MIB) as api:
        await remote(api, server.put("a", data)).fetch(tmp_path)
    in_loop = decrypted.pop(threading.get_ident())
    assert in_loop <= 128 << 10 < sum(decrypted.values())


@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
async def test_arrived_response_is_not_waited_for(
    server: ScriptedServer, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wbfiles_async._http.exchange.GATHER_SECONDS", 60.0)
    node = server.put("a", b"data", Stored(b"data").but(framing=framing))
    async with client(server) as api, asyncio.timeout(10):
        assert await remote(api, node).read_bytes() == b"data"


def expired(authority: trustme.CA) -> trustme.LeafCert:
    then, later = datetime(2000, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC)
    return authority.issue_cert("localhost", not_before=then, not_after=later)


UNTRUSTED: dict[str, Callable[[trustme.CA], trustme.LeafCert]] = {
    "self-signed": lambda _: trustme.CA().issue_cert("localhost"),
    "of another host": lambda authority: authority.issue_cert("elsewhere.example"),
    "expired": expired,
}


@pytest.mark.fault(57)
@pytest.mark.parametrize("certificate", UNTRUSTED.values(), ids=UNTRUSTED.keys())
async def test_certificate_that_is_not_trusted_is_fatal_at_once(
    authority: trustme.CA,
    bundle: Path,
    certificate: Callable[[trustme.CA], trustme.LeafCert],
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    async with tls_server(certificate(authority)) as server, client(server) as api:
        node = server.put("a", b"data")
        error = await error_of(TransferError, remote(api, node).read_bytes())
        await error_of(TransferError, api.run(RUN).file("a"))
    assert "certificate of localhost is not trusted" in str(error)
    assert "WANDB_INSECURE_DISABLE_SSL has no effect here" in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert server.requests == []
    assert waits == []


@pytest.mark.fault(58)
@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400 This is no TLS\r\n\r\n"], ids=["silence", "no TLS"])
async def test_truncated_tls_handshake_is_retried(reply: bytes) -> None:
    connections = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(1)
        writer.write(reply)
        writer.close()

    listener = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with listener, ScriptedServer() as server, client(server, attempts=3) as api:
        port = listener.sockets[0].getsockname()[1]
        node = server.put("a", b"data", directUrl=f"https://localhost:{port}/a?sig={SIGNATURE}")
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert connections >= 3
    assert "not trusted" not in str(error)


@pytest.mark.fault(58)
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
async def test_tls_connection_without_close_notify_is_resumed(
    authority: trustme.CA,
    bundle: Path,
    end: Literal["close", "reset"],
    framing: Literal["length", "chunked", "none"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    stored = Stored(DATA)
    async with tls_server(authority.issue_cert("localhost")) as server, client(server) as api:
        node = server.put("a", DATA, stored.but(cut=10, end=end, framing=framing), stored)
        assert await remote(api, node).read_bytes() == DATA


@pytest.mark.fault(58)
async def test_corrupted_tls_record_is_requested_again(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    data = bytes(300_000)
    flips = [200_000]  # well after the handshake, and once

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, flip: bool) -> None:
        count = 0
        with suppress(ConnectionError):
            while piece := await source.read(1 << 14):
                if flip and flips and count + len(piece) > flips[0]:
                    at = flips.pop() - count
                    piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
                count += len(piece)
                sink.write(piece)
                await sink.drain()
        sink.close()

    async with tls_server(authority.issue_cert("localhost")) as store, ScriptedServer() as server:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            upstream, onward = await asyncio.open_connection("127.0.0.1", store.port)
            await asyncio.gather(pipe(reader, onward, flip=False), pipe(upstream, writer, flip=True))

        store.put("a", data)
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy, client(server) as api:
            url = f"https://localhost:{proxy.sockets[0].getsockname()[1]}/store/a?X-Amz-Signature={SIGNATURE}"
            assert await remote(api, server.put("a", data, directUrl=url)).read_bytes() == data
    assert flips == []
    assert len(store.requests) == 2


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
async def test_unreadable_authorities_name_the_variable(
    authority: trustme.CA, tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "missing.pem"))
    async with tls_server(authority.issue_cert("localhost")) as server, client(server) as api:
        node = server.put("a", b"data")
        for work in (remote(api, node).read_bytes(), api.run(RUN).file("a")):
            error = await error_of(ConfigurationError, work)
            assert "missing.pem" in str(error)
            assert variable in str(error)


def missing(path: Path) -> None:
    """Leave nothing there."""


@pytest.mark.each_transport("ours", "NO_PROXY set")
@pytest.mark.parametrize("make", [missing, Path.mkdir, lambda path: path.write_text("garbage")])
async def test_unreadable_authorities_fail_each_file_that_needs_them(
    server: ScriptedServer,
    authority: trustme.CA,
    tmp_path: Path,
    make: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(tmp_path / "authorities.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))
    async with tls_server(authority.issue_cert("localhost")) as store, client(server, part_size=MIB) as api:
        refused = {f"{n}": DATA if n == 1 else b"data" for n in range(200)}
        for name, data in refused.items():
            server.put(name, data, directUrl=store.url(f"/store/{name}"))
        server.put("good", b"data")
        report = await api.run(RUN).download(tmp_path / "root", raise_on_error=False)
    assert {failure.name for failure in report.failures} == refused.keys()
    for failure in report.failures:
        assert isinstance(failure.error, ConfigurationError)
        assert "SSL_CERT_FILE" in str(failure.error)
    assert (tmp_path / "root" / "good").read_bytes() == b"data"


# Proxies


@asynccontextmanager
async def tunnel(refused: bytes = b"") -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that supports only CONNECT, and maps all hosts to this one; yields its URL and its requests."""
    requests: list[str] = []

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(1 << 16):
                sink.write(piece)
                await sink.drain()
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        requests.append(request)
        if refused:
            writer.write(refused)
            writer.close()
            return
        port = int(request.split(" ")[1].rpartition(":")[2])
        upstream, onward = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pipe(reader, onward), pipe(upstream, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        yield f"http://user:password@127.0.0.1:{listener.sockets[0].getsockname()[1]}", requests


async def test_https_is_tunnelled_through_the_environment_proxy(
    server: ScriptedServer, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    async with tls_server(authority.issue_cert("store.example")) as store, tunnel() as (proxy, requests):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        store.on("/store/secret-name", Stored(DATA))
        url = f"https://store.example:{store.port}/store/secret-name?X-Amz-Signature={SIGNATURE}"
        node = server.put("a", DATA, directUrl=url)
        async with client(server) as api:
            assert await remote(api, node).read_bytes() == DATA
        assert len(requests) == 1
        assert requests[0].startswith(f"CONNECT store.example:{store.port} ")
        assert "Proxy-Authorization: Basic" in requests[0]
        assert "secret" not in requests[0]  # the proxy ignores the target
        assert not any("proxy-authorization" in seen.headers for seen in store.requests)


async def test_http_is_sent_to_the_environment_proxy(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.base_url)
    url = f"http://store.example/a%2Fb+c~'?X-Amz-Signature={SIGNATURE}"
    server.on(url.partition("?")[0], Answer(body=b"data"))
    node = server.put("a", b"data", directUrl=url)
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == b"data"
    assert [seen.target for seen in server.requests] == [url]


async def test_no_proxy_host_is_contacted_directly(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: object, port: int, *_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "elsewhere.example,store.example")
    node = server.put("a", b"data", directUrl=f"http://store.example:{server.port}/store/a?sig={SIGNATURE}")
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == b"data"


async def test_localhost_is_never_proxied(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    node = server.put("a", b"data")
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == b"data"


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("answer", "message", "tries"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407", 1),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502", 2),
    ],
)
async def test_proxy_failure_differs_from_a_store_failure(
    answer: bytes, message: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedServer() as server, tunnel(refused=answer) as (proxy, requests):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        node = server.put("a", b"data", directUrl=f"https://store.example/a?sig={SIGNATURE}")
        async with client(server, attempts=2) as api:
            error = await error_of(TransferError, remote(api, node).read_bytes())
    assert message in str(error).lower()
    assert proxy.partition("@")[0] not in str(error)
    assert len(requests) == tries


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * (1 << 20),
        b"HTTP/1.1 200 OK\r\n" + b"X-A: a\r\n" * 100_000,
        b"SOCKS5\r\n\r\n",
    ],
    ids=["a header without end", "headers without end", "not HTTP"],
)
async def test_invalid_proxy_response_is_reported_in_one_line(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer() as server, tunnel(refused=answer) as (proxy, requests):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        node = server.put("a", b"data", directUrl=f"https://store.example/a?sig={SIGNATURE}")
        async with client(server, attempts=2) as api, asyncio.timeout(10):
            error = await error_of(TransferError, remote(api, node).read_bytes())
    assert len(str(error)) < 500
    assert "password" not in str(error)
    assert 1 <= len(requests) <= 2 * 2


async def test_silent_proxy_hits_the_connect_timeout(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.on("store.example:443", Answer(gate=asyncio.Event()))
    monkeypatch.setenv("HTTPS_PROXY", server.base_url)
    node = server.put("a", b"data", directUrl=f"https://store.example/a?sig={SIGNATURE}")
    async with client(server, attempts=2, connect_timeout=0.2) as api, asyncio.timeout(10):
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert "proxy settings" in str(error)
    assert [seen.method for seen in server.requests] == ["CONNECT", "CONNECT"]


async def test_unsupported_proxy_is_reported(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    node = server.put("a", b"data", directUrl=f"http://store.example/a?sig={SIGNATURE}")
    async with client(server) as api, AsyncApi(base_url="http://api.example", api_key=API_KEY) as elsewhere:
        for work in (remote(api, node).read_bytes(), elsewhere.run(RUN).file("a")):
            error = await error_of(ConfigurationError, work)
            assert "socks5" in str(error)


# Injected transports and clients


class Counting(httpx.AsyncHTTPTransport):
    """httpx's own transport, counting requests and closes."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[str] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.path)
        return await super().handle_async_request(request)

    async def aclose(self) -> None:
        self.closed += 1
        await super().aclose()


@pytest.fixture
def quiet_httpx(caplog: pytest.LogCaptureFixture) -> None:
    """Raise httpx's log level, as users of an injected client must: at INFO it logs each URL with its query."""
    caplog.set_level(logging.WARNING, "httpx")
    caplog.set_level(logging.WARNING, "httpcore")


def injected(server: ScriptedServer, **how: object) -> AsyncApi:
    options = quick(part_size=MIB, connections=3)
    return AsyncApi(base_url=server.base_url, api_key=API_KEY, options=options, **how)  # type: ignore[arg-type]


async def test_httpx_transport_works(server: ScriptedServer, tmp_path: Path) -> None:
    stored = Stored(DATA)
    server.put("large", DATA, stored.but(cut=1000, end="reset"), refusal(503, "SlowDown"), stored)
    server.put("small", b"data")
    transport = Counting()
    async with injected(server, transport=transport) as api:
        report = await api.run(RUN).download(tmp_path)
    assert report.downloaded == 2
    assert (tmp_path / "large").read_bytes() == DATA
    assert len(transport.requests) == len(server.requests)
    assert transport.closed == 1


async def read_all(pieces: AsyncIterator[bytes]) -> int:
    return sum([len(piece) async for piece in pieces])


OPERATIONS: dict[str, Callable[[AsyncRun, Path], Awaitable[object]]] = {
    "listing": lambda run, _: run.files().to_list(),
    "lookup": lambda run, _: run.file("small"),
    "token exchange": lambda run, _: run.file("small"),
    "small file": lambda run, root: one_of(run, "small", lambda file: file.fetch(root)),
    "large file in parts": lambda run, root: one_of(run, "large", lambda file: file.fetch(root)),
    "stream": lambda run, _: one_of(run, "large", lambda file: read_all(file.stream())),
    "bytes": lambda run, _: one_of(run, "small", lambda file: file.read_bytes()),
    "a range": lambda run, _: one_of(run, "large", lambda file: read_all(file.stream(100, 200))),
    "bulk download": lambda run, root: run.download(root),
    "upload": lambda run, root: upload_new(run, root),
    "deletion": lambda run, _: run.files().delete(include=["small*"]),
}


async def one_of(run: AsyncRun, name: str, work: Callable[[AsyncFile], Awaitable[object]]) -> object:
    return await work(await run.file(name))


async def upload_new(run: AsyncRun, root: Path) -> object:
    (root / "new").write_bytes(DATA)
    return await run.upload(root / "new", root=root)


@ours_and_injected
@pytest.mark.usefixtures("quiet_httpx")
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_request_is_sent_by_the_client(
    server: ScriptedServer, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """Except that our transport sends a batch's other small files over the connection of the first."""
    sent = list[str]()

    def count(owner: type, name: str) -> None:
        method = getattr(owner, name)

        def counted(*args: object, **options: object) -> object:
            sent.append(owner.__name__)
            return method(*args, **options)

        monkeypatch.setattr(owner, name, counted)

    count(httpx.AsyncClient, "send")
    count(httpx2.AsyncClient, "send")
    count(Connection, "send_whole")
    stored = Stored(DATA)
    server.put("large", DATA, stored.but(cut=1000, end="reset"), refusal(503, "SlowDown"), stored)
    for n in range(5):
        server.put(f"small{n}" if n else "small", b"data")
    server.on("/oidc/token", Answer(body=b'{"access_token": "4cc3ss-t0k3n", "expires_in": 3600}'))
    (home / "token").write_text("a.b.c")
    monkeypatch.setenv("WANDB_IDENTITY_TOKEN_FILE", str(home / "token"))
    key = None if operation == "token exchange" else API_KEY
    async with client(server, api_key=key, part_size=MIB, connections=3, verify=False) as api:
        await OPERATIONS[operation](api.run(RUN), tmp_path)
        assert len(sent) == len(server.requests) > 0
        assert server.transport is OURS or "Connection" not in sent
        assert len(server.seen("/oidc/token")) == (operation == "token exchange")


@pytest.mark.usefixtures("quiet_httpx")
async def test_injected_client_is_never_closed(server: ScriptedServer, tmp_path: Path) -> None:
    server.put("large", DATA)
    transport = Counting()
    async with httpx.AsyncClient(transport=transport) as http_client:
        async with injected(server, http_client=http_client) as api:
            assert await (await api.run(RUN).file("large")).fetch(tmp_path) == tmp_path / "large"
        assert not http_client.is_closed
        assert transport.closed == 0
        assert len(transport.requests) == len(server.requests) == 4
    assert (tmp_path / "large").read_bytes() == DATA


@pytest.mark.usefixtures("quiet_httpx")
async def test_injected_client_sends_no_credentials_to_the_store(
    server: ScriptedServer,
) -> None:
    node = server.put("a", b"data", Answer(status=307, headers={"Location": server.url("/store/b")}))
    server.put("b", b"data")
    cookies = {"session": "secret"}
    theirs = httpx.AsyncClient(auth=("user", "secret"), cookies=cookies, follow_redirects=True)
    async with theirs, injected(server, http_client=theirs) as api:
        assert await remote(api, node).read_bytes() == b"data"
    for seen in server.seen():
        assert not {"authorization", "cookie", "referer"} & set(seen.headers)


def basic_auth(package: ModuleType) -> object:
    return package.BasicAuth("api", API_KEY)


def challenged(package: ModuleType) -> object:
    """Authentication that sends credentials only when the server asks for them."""

    class Challenged(package.Auth):  # type: ignore[misc, name-defined]  # of either package
        def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
            response = yield request
            if response.status_code == 401:
                request.headers["Authorization"] = "Custom theirs"
                yield request

    return Challenged()


@pytest.mark.usefixtures("quiet_httpx")
@pytest.mark.each_transport("an injected client", "a client of httpx2")
@pytest.mark.parametrize("auth", [basic_auth, challenged])
async def test_authentication_of_an_injected_client_is_used_at_the_api_only(
    server: ScriptedServer, auth: Callable[[ModuleType], object]
) -> None:
    def at_api(serve: Program) -> Program:
        return lambda seen: serve(seen) if "authorization" in seen.headers else Answer(status=401)

    async with ScriptedServer() as store:
        store.put("elsewhere", DATA)
        store.put("redirected", DATA)
        server.put("elsewhere", DATA, directUrl=f"{store.base_url}/store/elsewhere")
        server.put("signed", DATA)
        for name in ("plain", "redirected"):
            server.put(name, DATA, url=f"{server.base_url}/files/{name}", directUrl=None)
        server.on("/graphql", at_api(server.list_files))
        server.on("/files/plain", at_api(Stored(DATA)))
        server.on("/files/redirected", at_api(lambda _: redirect(f"{store.base_url}/store/redirected")))
        theirs: Any = server.transport.inject()["http_client"]
        theirs.auth = auth(sys.modules[type(theirs).__module__.partition(".")[0]])
        async with theirs, AsyncApi(base_url=server.base_url, http_client=theirs, options=quick()) as api:
            async for file in api.run(RUN).files():
                assert await file.read_bytes() == DATA
        authorized = {seen.path for seen in server.requests if "authorization" in seen.headers}
        assert authorized == {"/graphql", "/files/plain", "/files/redirected"}
        assert {seen.path for seen in store.requests} == {"/store/elsewhere", "/store/redirected"}
        assert not [seen for seen in store.requests if "authorization" in seen.headers]


async def test_mock_transport_answers_everything(tmp_path: Path) -> None:
    requests: list[str] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        requests.append(f"{request.method} {request.url.host}{request.url.path}")
        if request.url.path == "/graphql":
            return httpx.Response(200, content=graphql_answer(listing("a.txt", DATA)).body)
        seen = Seen("GET", str(request.url), dict(request.headers), b"", 0)
        answer = Stored(DATA)(seen)
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)

    transport = httpx.MockTransport(handler)
    async with AsyncApi(
        base_url="http://api.example", api_key=API_KEY, transport=transport, options=quick(part_size=MIB)
    ) as api:
        path = await (await api.run(RUN).file("a.txt")).fetch(tmp_path)
    assert path.read_bytes() == DATA
    assert requests == ["POST api.example/graphql", *["GET store.example/a.txt"] * 3]


async def test_respx_router_plugs_in_as_a_transport(tmp_path: Path) -> None:
    async with respx.MockRouter(assert_all_called=True) as router:
        router.post("http://api.example/graphql").respond(json={"data": listing("a.txt", b"data")})
        store = router.get(url__startswith="http://store.example/a.txt")
        store.side_effect = [httpx.Response(500), httpx.ReadError("broke"), httpx.Response(200, content=b"data")]
        transport = httpx.MockTransport(router.async_handler)
        async with AsyncApi(base_url="http://api.example", api_key=API_KEY, transport=transport) as api:
            path = await (await api.run(RUN).file("a.txt")).fetch(tmp_path)
        assert store.call_count == 3
    assert path.read_bytes() == b"data"


def listing(name: str, data: bytes) -> dict[str, object]:
    url = f"http://store.example/{name}?X-Amz-Signature={SIGNATURE}"
    node = {"id": "1", "name": name, "directUrl": url, "sizeBytes": len(data), "md5": base64_md5(data)}
    files = {"edges": [{"node": node, "cursor": "c"}], "pageInfo": {"endCursor": "c", "hasNextPage": False}}
    return {"project": {"internalId": "7", "run": {"fileCount": 1, "files": files}}}
