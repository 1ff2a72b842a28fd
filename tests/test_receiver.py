"""A body that is received in a thread, whatever became of its connection before the thread began."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from wbfiles_async._protocol.low_speed import LowSpeed
from wbfiles_async._transfer.receiver import Receiver


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def receiver(
    ours: socket.socket, taken: bytearray, length: int, failure: httpx.TransportError | None = None
) -> Receiver:
    room = memoryview(bytearray(b"abcde").ljust(100, b"\0"))
    return Receiver(ours, lambda: room, 5, length, taken.extend, LowSpeed(5.0, 1), failure)


def test_what_was_there_is_taken_before_what_comes(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"fghij")
    taken = bytearray()
    receiver(ours, taken, 10).run()
    assert taken == b"abcdefghij"


def test_of_a_connection_that_has_ended_what_was_there_is_taken_first(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = pair
    ours.close()
    taken = bytearray()
    with pytest.raises(httpx.ReadError, match="gone"):
        receiver(ours, taken, 10, httpx.ReadError("gone")).run()
    assert taken == b"abcde"


def test_a_body_that_was_there_as_a_whole_is_whole_though_its_connection_has_ended(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = pair
    ours.close()
    taken = bytearray()
    receiver(ours, taken, 5, httpx.ReadError("gone")).run()
    assert taken == b"abcde"


def test_a_body_that_ends_early_is_an_error_and_what_came_is_taken(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(b"fg")
    theirs.close()
    taken = bytearray()
    with pytest.raises(httpx.ReadError, match="before it was whole"):
        receiver(ours, taken, 10).run()
    assert taken == b"abcdefg"
