"""A body received in a thread, whatever happened to its connection before."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from wbfiles_async._http.connection import Connection
from wbfiles_async._http.extensions import StallLimit
from wbfiles_async._http.receiver import BodyReceiver


class Collected:
    """A sink that keeps its bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_complete = False

    def write(self, piece: bytes | memoryview) -> None:
        self.data += piece

    def complete(self) -> None:
        self.is_complete = True


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection in the middle of a response, whose first five bytes have arrived, and its server's socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(ours)
    connection.begin_exchange()
    theirs.sendall(b"abcde")
    connection.receive()
    with ours, theirs:
        yield connection, theirs


def received(connection: Connection, length: int) -> Collected:
    sink = Collected()
    BodyReceiver(connection, length, sink, StallLimit(5.0, 1)).run()
    return sink


def test_buffered_bytes_are_written_first(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.sendall(b"fghij")
    sink = received(connection, 10)
    assert (bytes(sink.data), sink.is_complete) == (b"abcdefghij", True)
    assert connection.is_idle


def end(pair: tuple[Connection, socket.socket]) -> Connection:
    connection, server = pair
    server.close()
    connection.receive()
    assert connection.has_ended
    return connection


def test_buffered_bytes_of_an_ended_connection_are_written_first(pair: tuple[Connection, socket.socket]) -> None:
    sink = Collected()
    with pytest.raises(httpx.ReadError, match="before it was complete"):
        BodyReceiver(end(pair), 10, sink, StallLimit(5.0, 1)).run()
    assert (bytes(sink.data), sink.is_complete) == (b"abcde", False)


def test_fully_buffered_body_is_complete_after_disconnect(
    pair: tuple[Connection, socket.socket],
) -> None:
    sink = received(end(pair), 5)
    assert (bytes(sink.data), sink.is_complete) == (b"abcde", True)


def test_truncated_body_raises_after_writing_its_bytes(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, server = pair
    server.sendall(b"fg")
    server.close()
    sink = Collected()
    with pytest.raises(httpx.ReadError, match="before it was complete"):
        BodyReceiver(connection, 10, sink, StallLimit(5.0, 1)).run()
    assert (bytes(sink.data), sink.is_complete) == (b"abcdefg", False)
