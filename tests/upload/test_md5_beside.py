"""The md5 of blocks, computed in another thread, or without one."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from wbfiles_async._threads import ThreadsExhaustedError, WorkerThreads
from wbfiles_async._upload import md5_beside
from wbfiles_async._upload.md5_beside import BLOCK_BYTES, HELD_BLOCKS, Md5Beside

DATA = os.urandom(3 * HELD_BLOCKS * BLOCK_BYTES + 12345)

Begin = Callable[[Callable[[], None]], Future[None]]


def refused(_: Callable[[], None]) -> Future[None]:
    raise ThreadsExhaustedError("can't start new thread")


def never_begun(_: Callable[[], None]) -> Future[None]:
    """Queue the work behind a thread that never ends."""
    return Future()


BEGIN: dict[str, Begin] = {
    "a thread": WorkerThreads("test-md5").submit,
    "no thread": refused,
    "no thread in time": never_begun,
}


@pytest.mark.parametrize("size", [1, BLOCK_BYTES, BLOCK_BYTES + 1, len(DATA)])
@pytest.mark.parametrize("way", BEGIN)
def test_md5_is_that_of_all_blocks(way: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(md5_beside, "START_SECONDS", 0.01)
    data = memoryview(DATA)[:size]
    with Md5Beside(BEGIN[way], size) as md5:
        for start in range(0, size, BLOCK_BYTES):
            piece = data[start : start + BLOCK_BYTES]
            block = md5.buffer()[: len(piece)]
            block[:] = piece
            md5.add(block)
        assert md5.value() == hashlib.md5(data).digest()


def test_buffer_is_reused_only_after_hashing() -> None:
    gate = threading.Event()
    threads = WorkerThreads("test-md5")

    def begin(work: Callable[[], None]) -> Future[None]:
        def wait_and_work() -> None:
            if gate.wait(20):
                work()

        return threads.submit(wait_and_work)

    with Md5Beside(begin, len(DATA)) as md5:
        for number in range(HELD_BLOCKS):
            block = md5.buffer()
            block[:] = bytes([number]) * BLOCK_BYTES
            md5.add(block)
        threading.Timer(0.05, gate.set).start()
        assert not gate.is_set()
        md5.buffer()[:] = bytes(BLOCK_BYTES)
        assert gate.is_set()
        expected = b"".join(bytes([number]) * BLOCK_BYTES for number in range(HELD_BLOCKS))
        assert md5.value() == hashlib.md5(expected).digest()


@pytest.mark.parametrize("way", BEGIN)
def test_early_exit_leaves_no_thread(way: str) -> None:
    ended: list[Future[None]] = []

    def begin(work: Callable[[], None]) -> Future[None]:
        ended.append(BEGIN[way](work))
        return ended[0]

    def leave() -> None:
        with Md5Beside(begin, len(DATA)) as md5:
            md5.add(md5.buffer())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    assert all(each.done() for each in ended)
