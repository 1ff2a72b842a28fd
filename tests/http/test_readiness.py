"""Waiting for sockets, in event loops that support it and in those that do not, like that of Windows."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

import pytest

from wbfiles_async._http import readiness
from wbfiles_async._http.readiness import wait_until_ready, watch


@pytest.fixture(params=["a loop with readers", "a loop without"], autouse=True)
def loop_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    def refuse(*_: object) -> NoReturn:
        raise NotImplementedError

    if request.param == "a loop without":
        for name in ("add_reader", "add_writer"):
            monkeypatch.setattr(asyncio.SelectorEventLoop, name, refuse)
    return str(request.param)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair()
    with one, two:
        one.setblocking(False)
        two.setblocking(False)
        yield one, two


async def test_waits_until_something_arrives(pair: tuple[socket.socket, socket.socket]) -> None:
    one, two = pair
    for _ in range(3):
        waiting = asyncio.create_task(wait_until_ready(one))
        await asyncio.sleep(0)
        assert not waiting.done()
        two.send(b"x")
        async with asyncio.timeout(10):
            await waiting
        assert one.recv(10) == b"x"


async def test_waits_until_there_is_room(pair: tuple[socket.socket, socket.socket]) -> None:
    one, two = pair
    async with asyncio.timeout(10):
        await wait_until_ready(one, writing=True)
        with suppress(BlockingIOError):
            while one.send(bytes(1 << 16)):
                pass
        waiting = asyncio.create_task(wait_until_ready(one, writing=True))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        with suppress(BlockingIOError):
            while two.recv(1 << 20):
                pass
        await waiting


async def test_socket_can_be_watched_for_both(pair: tuple[socket.socket, socket.socket]) -> None:
    one, two = pair
    reading = asyncio.create_task(wait_until_ready(one))
    async with asyncio.timeout(10):
        await wait_until_ready(one, writing=True)
        assert not reading.done()
        two.send(b"x")
        await reading


async def test_unwatched_socket_can_be_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    others = [socket.socketpair() for _ in range(20)]
    for one, _ in others:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await wait_until_ready(one)
        one.close()
    for _, two in others:
        two.close()
    pair[1].send(b"x")
    async with asyncio.timeout(10):
        await wait_until_ready(pair[0])


async def test_end_of_a_connection_is_reported(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    async with asyncio.timeout(10):
        await wait_until_ready(pair[0])
    assert pair[0].recv(1) == b""


async def test_callback_repeats_until_stopped(pair: tuple[socket.socket, socket.socket]) -> None:
    called, third = [0], asyncio.Event()

    def on_ready() -> None:
        called[0] += 1
        if called[0] == 3:
            third.set()

    unwatch = watch(pair[0], on_ready)
    pair[1].send(b"x")
    async with asyncio.timeout(10):
        await third.wait()
    unwatch()
    before = called[0]
    await asyncio.sleep(0.02)
    assert called[0] == before


async def test_many_wait_at_once() -> None:
    pairs = [socket.socketpair() for _ in range(200)]
    try:
        waiting = [asyncio.create_task(wait_until_ready(one)) for one, _ in pairs]
        await asyncio.sleep(0)
        for _, two in pairs:
            two.send(b"x")
        async with asyncio.timeout(20):
            await asyncio.gather(*waiting)
    finally:
        for one, two in pairs:
            one.close()
            two.close()


async def test_thread_ends_without_sockets_to_watch(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, loop_kind: str
) -> None:
    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "wbfiles-readiness"]

    monkeypatch.setattr(readiness, "IDLE_SECONDS", 0.01)
    if loop_kind == "a loop with readers":
        pytest.skip("such a loop needs no thread")
    pair[1].send(b"x")
    await wait_until_ready(pair[0])
    for thread in threads():
        await asyncio.to_thread(thread.join, 10)
    assert not threads()
    async with asyncio.timeout(10):
        await wait_until_ready(pair[0])


async def test_closing_a_watched_socket_affects_no_other(
    pair: tuple[socket.socket, socket.socket], loop_kind: str
) -> None:
    if loop_kind != "a loop without":
        pytest.skip("such a loop forgets it")
    one, two = socket.socketpair()
    unwatch = watch(one, lambda: None)
    one.close()
    two.close()
    pair[1].send(b"x")
    async with asyncio.timeout(10):
        await wait_until_ready(pair[0])
    unwatch()
