"""A request sent in a thread, whatever its server, its body and its caller do meanwhile."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator

import httpx
import pytest

from wbfiles_async._http.body import RequestBody
from wbfiles_async._http.connection import Connection
from wbfiles_async._http.extensions import StallLimit
from wbfiles_async._http.sender import RequestSender
from wbfiles_async._http.transport import DrainingTransport
from wbfiles_async._threads import ThreadsExhaustedError

HEAD = b"PUT / HTTP/1.1\r\n\r\n"
BLOCK = bytes(range(256)) * 64
MANY = 1024
"""Blocks larger than any buffer between two sockets."""

SECONDS = 20


class Body:
    """A body of that many blocks, which records its use."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count = count
        self.error = error
        self.is_closed = False
        self.sent: list[int] = []

    def blocks(self) -> Generator[bytes | memoryview]:
        try:
            for number in range(self.count):
                if self.error is not None and number:
                    raise self.error
                yield BLOCK
        finally:
            self.is_closed = True


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """An idle connection, and its server's socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(SECONDS)
    with ours, theirs:
        yield Connection(ours), theirs


def sender_of(connection: Connection, body: Body, seconds: float = SECONDS, least: int = 1) -> RequestSender:
    return RequestSender(connection, HEAD, body.blocks, StallLimit(seconds, least), body.sent.append)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def received(server: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (piece := server.recv(1 << 20)):
        data += piece
    return bytes(data)


def test_all_of_it_is_sent_to_a_server_that_reads_slowly(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    body, whole = Body(MANY), list[bytes]()
    reading = in_thread(lambda: whole.append(received(server, len(HEAD) + MANY * len(BLOCK))))
    assert sender_of(connection, body).run()
    reading.join(SECONDS)
    assert whole == [HEAD + BLOCK * MANY]
    assert (sum(body.sent), body.is_closed) == (MANY * len(BLOCK), True)
    assert not connection.is_idle  # the response has not arrived


def test_server_that_responds_early_gets_no_more(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    body = Body(MANY)

    def refuse() -> None:
        received(server, 1000)
        server.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")

    in_thread(refuse)
    assert not sender_of(connection, body).run()
    head = connection.read_head(b"PUT")
    assert head is not None
    assert head.status == 403
    assert sum(body.sent) < MANY * len(BLOCK)
    assert body.is_closed


def test_response_before_a_disconnect_is_read(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    server.close()
    assert not sender_of(connection, Body(MANY)).run()
    head = connection.read_head(b"PUT")
    assert head is not None
    assert head.status == 503


def test_disconnect_ends_sending(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.close()
    body = Body(MANY)
    assert not sender_of(connection, body).run()
    assert connection.has_ended
    assert sum(body.sent) == 0


def test_server_that_reads_nothing_times_out(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    body = Body(MANY)
    with pytest.raises(httpx.WriteTimeout, match="nothing could be sent"):
        sender_of(connection, body, seconds=0.1).run()
    assert body.is_closed


def test_server_that_reads_too_slowly_times_out(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    over = threading.Event()

    def trickle() -> None:
        while not over.wait(0.01) and server.recv(20_000):
            pass

    reading = in_thread(trickle)
    with pytest.raises(httpx.WriteTimeout, match="only"):
        sender_of(connection, Body(4 * MANY), seconds=0.2, least=1 << 30).run()
    over.set()
    reading.join(SECONDS)


def test_error_of_the_body_is_raised(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    body = Body(3, error=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        sender_of(connection, body).run()
    assert body.is_closed


def test_interrupted_thread_ends_soon(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    body, outcome = Body(MANY), list[bool]()
    sender = sender_of(connection, body)
    sending = in_thread(lambda: outcome.append(sender.run()))
    while not body.sent:  # it soon waits for the server
        sending.join(0.001)
    sender.interrupt()
    sending.join(SECONDS)
    assert (outcome, body.is_closed) == ([False], True)


class Store:
    """A server at loopback that reads one body, and answers."""

    def __init__(self) -> None:
        self.received = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        self.received = await reader.readexactly(length)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        writer.close()


async def test_event_loop_sends_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ThreadsExhaustedError("can't start new thread")

    store, counts, body = Store(), list[int](), Body(8)

    async def pieces() -> AsyncGenerator[bytes | memoryview]:
        for _ in range(8):
            yield BLOCK

    server = await asyncio.start_server(store, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        sent = RequestBody(8 * len(BLOCK), pieces, StallLimit(SECONDS, 1), on_sent=counts.append, blocks=body.blocks)
        request = httpx.Request("PUT", f"http://127.0.0.1:{port}/a", headers={"Content-Length": str(sent.length)})
        request.stream = sent
        ours = DrainingTransport(ssl.create_default_context)
        monkeypatch.setattr(ours.threads, "begin", refuse)
        response = await ours.handle_async_request(request)
        await response.aclose()
        await ours.aclose()
    assert response.status_code == 201
    assert store.received == BLOCK * 8
    assert (sum(counts), sent.is_sent, body.is_closed) == (8 * len(BLOCK), True, False)
