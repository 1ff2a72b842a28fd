"""A body that is received in a thread, whatever happened to its connection before the thread began."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from wbfiles_async._http.connection import Connection
from wbfiles_async._http.drain import BodyReceiver
from wbfiles_async._http.extensions import StallLimit


class Collected:
    """A sink that keeps what it is given."""

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


def test_what_was_held_is_written_before_what_arrives(pair: tuple[Connection, socket.socket]) -> None:
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


def test_what_was_held_of_an_ended_connection_is_written_first(pair: tuple[Connection, socket.socket]) -> None:
    sink = Collected()
    with pytest.raises(httpx.ReadError, match="before it was complete"):
        BodyReceiver(end(pair), 10, sink, StallLimit(5.0, 1)).run()
    assert (bytes(sink.data), sink.is_complete) == (b"abcde", False)


def test_a_body_that_was_held_as_a_whole_is_complete_though_its_connection_has_ended(
    pair: tuple[Connection, socket.socket],
) -> None:
    sink = received(end(pair), 5)
    assert (bytes(sink.data), sink.is_complete) == (b"abcde", True)


def test_a_body_that_ends_early_is_an_error_and_what_arrived_is_written(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, server = pair
    server.sendall(b"fg")
    server.close()
    sink = Collected()
    with pytest.raises(httpx.ReadError, match="before it was complete"):
        BodyReceiver(connection, 10, sink, StallLimit(5.0, 1)).run()
    assert (bytes(sink.data), sink.is_complete) == (b"abcdefg", False)
