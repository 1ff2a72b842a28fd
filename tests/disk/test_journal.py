"""The journal of an unfinished file."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._disk.journal import HEADER_BYTES, Header, encode_header, encode_part, parse_journal
from wbfiles_async._disk.part_file import PartFile
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._ranges import Range

HEADER = Header(size=1000, md5=bytes(range(16)), etag='"v1"', host="here", boot="b-1")


def written(header: Header, *parts: Range) -> bytes:
    return encode_header(header) + b"".join(map(encode_part, parts))


def test_journal_round_trip() -> None:
    journal = parse_journal(written(HEADER, Range(0, 10), Range(500, 1000)))
    assert journal is not None
    assert journal.header == HEADER
    assert journal.parts == (Range(0, 10), Range(500, 1000))


@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 1200))))
def test_parts_are_ordered_disjoint_and_within_the_file(noted: list[tuple[int, int]]) -> None:
    journal = parse_journal(written(HEADER, *(Range(*part) for part in noted)))
    assert journal is not None
    there = {byte for part in journal.parts for byte in range(part.start, part.stop)}
    assert there == {byte for start, stop in noted if stop <= 1000 for byte in range(start, stop)}
    assert all(one.stop < other.start for one, other in pairwise(journal.parts))


def test_truncated_entry_is_ignored() -> None:
    journal = parse_journal(written(HEADER, Range(0, 10), Range(10, 20))[:-1])
    assert journal is not None
    assert journal.parts == (Range(0, 10),)


def test_oversized_validator_is_omitted() -> None:
    text = encode_header(attrs.evolve(HEADER, etag='"' + "x" * HEADER_BYTES + '"'))
    assert len(text) == HEADER_BYTES
    journal = parse_journal(text)
    assert journal is not None
    assert journal.header.etag == ""


@given(st.binary() | st.text().map(str.encode))
def test_arbitrary_bytes_are_no_journal(text: bytes) -> None:
    assert parse_journal(text) is None


@pytest.mark.fault(124)
@pytest.mark.parametrize("etag", ['"a"\r\nX: 1', '"a', "a", '"a" ', '"a b"', '"é"', 'W/"a"', '"\x80"', '"a""b"', "\n"])
def test_validator_invalid_in_a_header_is_rejected(etag: str) -> None:
    assert parse_journal(encode_header(attrs.evolve(HEADER, etag=etag))) is None


@pytest.mark.parametrize(
    "text",
    [
        b"null",
        b"[]",
        b'{"format": 1}',
        b'{"format": 2, "size": 1, "md5": "", "etag": "", "host": "", "boot": ""}',
        b'{"format": 1, "size": "1", "md5": "", "etag": "", "host": "", "boot": ""}',
        b'{"format": 1, "size": -1, "md5": "", "etag": "", "host": "", "boot": ""}',
        b'{"format": 1, "size": 1, "md5": "xy", "etag": "", "host": "", "boot": ""}',
        b'{"format": 1, "size": 1, "md5": "", "etag": 1, "host": "", "boot": ""}',
        b'{"format": 1, "size": 1, "md5": "", "etag": "", "host": "", "boot": "", "more": 1}',
        b"[" * 4096,
    ],
)
def test_invalid_header_is_rejected(text: bytes) -> None:
    assert parse_journal(text.ljust(HEADER_BYTES)) is None


def test_parts_noted_by_many_threads_are_all_recorded(tmp_path: Path) -> None:
    count, each, length = 16, 40, 10
    file, start = PartFile(TargetPath(tmp_path, ("a",))), threading.Barrier(count)
    size = 2 * count * each * length
    file.create(size=size, md5=bytes(16))
    parts = [Range(begin, begin + length) for begin in range(0, size, 2 * length)]  # none is next to another

    def note(number: int) -> None:
        start.wait()
        for part in parts[number::count]:
            file.note(part, '"v1"')

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(note, range(count)))
    path = file.keep()
    file.discard()
    journal = parse_journal(path.read_bytes()[size:])
    assert journal is not None
    assert journal.parts == tuple(parts)
