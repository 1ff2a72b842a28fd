from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._download.gaps import Gaps, gaps_in
from wbfiles_async._ranges import Range
from wbfiles_async._store.ranges import ContentRange, parse_content_range, parse_unsatisfied_range, range_header


def test_header_includes_the_last_byte() -> None:
    assert range_header(0, 1) == "bytes=0-0"
    assert range_header(5, 10) == "bytes=5-9"


def test_range_without_an_end_requests_the_rest() -> None:
    assert range_header(5, None) == "bytes=5-"


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (6, 5), (-1, 5)])
def test_empty_range_is_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="no bytes"):
        range_header(start, stop)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes 0-0/1", ContentRange(0, 1, 1)),
        ("bytes 5-9/100", ContentRange(5, 10, 100)),
        ("Bytes 5-9/*", ContentRange(5, 10, None)),
        (f"bytes 0-{2**63 - 2}/{2**63 - 1}", ContentRange(0, 2**63 - 1, 2**63 - 1)),
    ],
)
def test_proper_content_range_is_read(value: str, expected: ContentRange) -> None:
    assert parse_content_range(value) == expected


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "bytes",
        "bytes 0--1/0",
        "bytes */10",
        "bytes *-1/10",
        "bytes 0-*/10",
        "bytes 5-4/10",
        "bytes 0-9/9",
        "bytes 0-9/",
        "bytes 0-9",
        "bytes=0-9/10",
        "bytes 0-9/10\n",
        " bytes 0-9/10",
        "bytes  0-9/10",
        "bytes 0 - 9/10",
        "bytes +0-9/10",
        "bytes 0-9/1_0",
        "bytes ٠-٩/١٠",
        "items 0-9/10",
        "bytes 0-9/10, bytes 0-9/10",
        f"bytes 0-1/{2**63}",
        f"bytes 0-{2**63 - 1}/*",
        "bytes 0-1/10000000000000000000",
        "bytes 0-1/12345678901234567890",
    ],
)
def test_malformed_content_range_is_none(value: str | None) -> None:
    assert parse_content_range(value) is None


@pytest.mark.fault(27)
@given(st.text() | st.from_regex(r"bytes [0-9*-]{1,22}-[0-9*]{1,22}/[0-9*]{1,22}"))
def test_any_content_range_is_consistent_or_none(value: str) -> None:
    parsed = parse_content_range(value)
    assert parsed is None or 0 <= parsed.start < parsed.stop <= (parsed.total or 2**63 - 1) < 2**63


@given(st.integers(0, 2**62), st.integers(1, 2**60), st.none() | st.integers(0, 2**60))
def test_content_range_round_trip(start: int, length: int, rest: int | None) -> None:
    stop = start + length
    total = None if rest is None else stop + rest
    shown = "*" if total is None else total
    assert parse_content_range(f"bytes {start}-{stop - 1}/{shown}") == ContentRange(start, stop, total)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes */0", 0),
        ("bytes */1234", 1234),
        (f"bytes */{2**63}", None),
        ("bytes */*", None),
        ("bytes 0-1/2", None),
        ("", None),
        (None, None),
    ],
)
def test_length_of_an_unsatisfied_range_is_read(value: str | None, expected: int | None) -> None:
    assert parse_unsatisfied_range(value) == expected


MIB = 1 << 20


def taken(gaps: Gaps, part_size: int, readers: int, longest: int = 0) -> list[Range]:
    return list(iter(lambda: gaps.take(part_size, readers, longest), None))


@given(st.integers(0, 2**40), st.integers(2**33, 2**34), st.integers(1, 64), st.integers(1, 4))
def test_parts_cover_the_file_exactly(size: int, part_size: int, readers: int, factor: int) -> None:
    gaps = gaps_in(size)
    parts = taken(gaps, part_size, readers, factor * part_size)
    assert sum(part.length for part in parts) == size
    assert all(one.stop == other.start for one, other in pairwise(parts))
    assert all(0 < part.length <= factor * part_size for part in parts)
    assert gaps.left == 0


def test_long_parts_are_a_small_share_of_the_rest() -> None:
    lengths = [part.length // MIB for part in taken(gaps_in(1024 * MIB), 8 * MIB, 1, longest=32 * MIB)]
    assert lengths[:28] == [32] * 28
    assert sorted(lengths, reverse=True) == lengths
    assert lengths[-4:] == [8] * 4
    assert {part.length for part in taken(gaps_in(32 * MIB), 8 * MIB, 1, longest=32 * MIB)} == {8 * MIB}


def test_parts_have_the_maximum_size_until_the_end() -> None:
    parts = taken(gaps_in(1024 * MIB), 8 * MIB, 4)
    assert {part.length for part in parts[:100]} == {8 * MIB}
    assert parts[-1].length == 2 * MIB
    assert all(one.length >= other.length for one, other in pairwise(parts))


def test_parts_have_a_minimum_size() -> None:
    assert [part.length for part in taken(gaps_in(6 * MIB), 8 * MIB, 64)] == [2 * MIB] * 3
    assert [part.length for part in taken(gaps_in(300), 100, 64)] == [100] * 3


@given(st.integers(1, 2**34), st.integers(1, 64))
def test_one_share_per_reader(size: int, readers: int) -> None:
    gaps = gaps_in(size)
    shares = [share for left in range(readers, 0, -1) if (share := gaps.take_share(left)) is not None]
    assert sum(share.length for share in shares) == size
    assert gaps.left == 0
    assert all(one.stop == other.start for one, other in pairwise(shares))
    assert all(share.length <= max(2 * MIB, size // readers + readers) for share in shares)


def test_returned_range_is_taken_again_in_order() -> None:
    gaps = gaps_in(100 * MIB)
    first, second = gaps.take(8 * MIB, 1), gaps.take(8 * MIB, 1)
    assert first is not None
    assert second is not None
    gaps.put_back(Range(4 * MIB, first.stop))
    assert gaps.left == 88 * MIB
    assert gaps.take(8 * MIB, 1) == Range(4 * MIB, 8 * MIB)
    assert gaps.take(8 * MIB, 1) == Range(16 * MIB, 24 * MIB)


def test_completed_ranges_are_no_gap() -> None:
    assert taken(gaps_in(10, [Range(0, 2), Range(4, 6)]), 100, 1) == [Range(2, 4), Range(6, 10)]
    assert taken(gaps_in(10, [Range(3, 10)]), 100, 1) == [Range(0, 3)]
    assert taken(gaps_in(10, [Range(0, 10)]), 100, 1) == []


def test_existing_ranges_are_not_taken() -> None:
    gaps = Gaps(deque([Range(0, 5), Range(10, 25), Range(30, 31)]))
    assert gaps.left == 21
    assert taken(gaps, 10, 1) == [Range(0, 5), Range(10, 20), Range(20, 25), Range(30, 31)]


@given(st.integers(0, 64 * MIB), st.integers(MIB // 8, 8 * MIB), st.integers(1, 20))
def test_parts_that_begin_small_cover_the_whole_once(size: int, part_size: int, readers: int) -> None:
    gaps = gaps_in(size, small_first=True)
    parts = taken(gaps, part_size, readers)
    assert [part.start for part in parts] == [0, *(part.stop for part in parts)][: len(parts)]
    assert sum(part.length for part in parts) == size
    assert gaps.left == 0
    assert all(0 < part.length <= part_size for part in parts)


def test_parts_that_begin_small_grow_and_shrink_again() -> None:
    lengths = [part.length // MIB for part in taken(gaps_in(256 * MIB, small_first=True), 8 * MIB, 4)]
    assert lengths[:4] == [2] * 4
    assert max(lengths) == 8
    rise = lengths[: lengths.index(8)]
    assert rise == sorted(rise)
    assert lengths[-4:] == [2] * 4
