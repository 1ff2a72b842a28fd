"""The md5 of a file during its download: from memory if in order, otherwise read back from the file."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wbfiles_async._disk.part_file import PartFile
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._download import part_writer
from wbfiles_async._download.part_writer import HELD_BYTES, LEAST_BYTES, MOST_BYTES, ContiguousPrefix, Md5Stream
from wbfiles_async._ranges import Range

MIB = 1 << 20
DATA = os.urandom(16 * MIB)


def temporary(folder: Path, size: int) -> PartFile:
    made = PartFile(TargetPath(folder, ("a.bin",)))
    made.create(size=size)
    return made


def test_bytes_in_order_are_not_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = temporary(tmp_path, 3)
    monkeypatch.delattr(PartFile, "digest")
    digest = Md5Stream(file)
    with ThreadPoolExecutor() as threads:
        following = threads.submit(digest.follow)
        for start, byte in enumerate((b"a", b"b", b"c")):
            digest.written(start, byte)  # none of it is in the file
        digest.end(abandoned=False)
        following.result()
    assert digest.value == hashlib.md5(b"abc", usedforsecurity=False).digest()
    file.discard()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, MIB), min_size=1, max_size=16),
    st.integers(1, 4),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_pieces_in_any_order_give_the_md5(
    tmp_path: Path, lengths: list[int], writers: int, first_was_there: bool, chance: random.Random
) -> None:
    data = DATA
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    pieces = [Range(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    whole = data[: pieces[-1].stop]
    file = temporary(tmp_path, len(whole))
    digest = Md5Stream(file)
    if first_was_there:
        first = pieces.pop(0)
        file.write(0, (whole[: first.stop],))
        digest.found(first)
    chance.shuffle(pieces)

    def write(piece: Range) -> None:
        content = memoryview(whole)[piece.start : piece.stop]
        file.write(piece.start, (content,))
        digest.written(piece.start, content)

    with ThreadPoolExecutor(writers + 1) as threads:
        following = threads.submit(digest.follow)
        for writing in [threads.submit(write, piece) for piece in pieces]:
            writing.result()
        digest.end(abandoned=False)
        following.result()
    file.discard()
    assert digest.value == hashlib.md5(whole, usedforsecurity=False).digest()


@pytest.mark.parametrize(("others", "longest"), [(0, MOST_BYTES), (1, MOST_BYTES // 2), (100, LEAST_BYTES)])
def test_lagging_streams_share_the_memory_for_reading_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int, longest: int
) -> None:
    size = MOST_BYTES + MIB
    file = temporary(tmp_path, size)
    lengths: list[int] = []
    read_back = PartFile.digest

    def recorded(part: PartFile, digest: hashlib._Hash, start: int, buffer: memoryview) -> None:
        lengths.append(len(buffer))
        read_back(part, digest, start, buffer)

    monkeypatch.setattr(PartFile, "digest", recorded)
    monkeypatch.setattr(part_writer, "_at_work", {Md5Stream(file) for _ in range(others)})
    file.write(0, (bytes(size),))
    digest = Md5Stream(file)
    digest.found(Range(0, size))
    digest.end(abandoned=False)
    digest.follow()
    file.discard()
    assert digest.value == hashlib.md5(bytes(size), usedforsecurity=False).digest()
    assert max(lengths) == longest
    assert sum(lengths) == size


@given(st.lists(st.integers(1, 50), max_size=30), st.randoms(use_true_random=False))
def test_contiguous_prefix_is_independent_of_order(lengths: list[int], chance: random.Random) -> None:
    pieces, at = [], 0
    for length in lengths:
        pieces.append((at, at + length))
        at += length
    chance.shuffle(pieces)
    front, written = ContiguousPrefix(), set[int]()
    for start, stop in pieces:
        before = front.stop
        moved = front.written(start, stop)
        written.update(range(start, stop))
        gap = next(n for n in range(at + 1) if n not in written)
        assert front.stop == gap
        assert moved is (front.stop > before)
    assert front.stop == at


def test_waiter_is_released_when_hashing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = temporary(tmp_path, 1)
    digest = Md5Stream(file)
    waiting = threading.Event()

    def fail(*_: object) -> None:
        waiting.wait()
        raise OSError("the disk refuses")

    monkeypatch.setattr(PartFile, "digest", fail)

    def write() -> None:
        start = LEAST_BYTES
        for length in (HELD_BYTES, 1, 1):
            if length == 1:
                waiting.set()
            digest.written(start, bytes(length))
            start += length

    with ThreadPoolExecutor() as threads:
        digest.found(Range(0, LEAST_BYTES))
        following = threads.submit(digest.follow)
        threads.submit(write).result(timeout=20)
        with pytest.raises(OSError, match="the disk refuses"):
            following.result(timeout=20)
    file.discard()
