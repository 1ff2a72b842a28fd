from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._download.read_ahead import BLOCKS, MOST_AHEAD, ReadAhead, cut, merge
from wbfiles_async._ranges import Range

KIB = 1 << 10
MIB = 1 << 20


def read(ahead: ReadAhead, start: int, stop: int, size: int) -> Range | None:
    """Read like an open file; return the requested ranges."""
    if ahead.take(start, stop) is not None:
        return None
    wanted = ahead.plan(start, min(stop, size), size)
    ahead.keep(wanted.start, bytes(wanted.length))
    return wanted


def test_sequential_reading_requests_more_and_more() -> None:
    ahead, size, position, lengths = ReadAhead(512 * KIB), 64 * MIB, 0, []
    while position < size:
        if wanted := read(ahead, position, position + 64 * KIB, size):
            lengths.append(wanted.length)
        position += 64 * KIB
    assert lengths[:5] == [512 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB]
    assert max(lengths) == MOST_AHEAD
    assert sum(lengths) == size


def test_jump_requests_one_block_again() -> None:
    ahead, size = ReadAhead(KIB), MIB
    assert read(ahead, 0, 10, size) == Range(0, KIB)
    assert read(ahead, KIB, KIB + 10, size) == Range(KIB, 3 * KIB)
    assert read(ahead, 100 * KIB, 100 * KIB + 10, size) == Range(100 * KIB, 101 * KIB)
    assert read(ahead, 101 * KIB, 101 * KIB + 10, size) == Range(101 * KIB, 103 * KIB)


def test_end_is_requested_with_the_bytes_before_it() -> None:
    ahead, size = ReadAhead(KIB), MIB
    assert read(ahead, size - 22, size, size) == Range(size - KIB, size)
    assert read(ahead, size - 500, size - 400, size) is None
    assert read(ReadAhead(KIB), 0, 10, 100) == Range(0, 100)
    assert read(ReadAhead(KIB), 90, 100, 100) == Range(0, 100)


def test_long_read_is_exactly_one_request() -> None:
    ahead = ReadAhead(KIB)
    assert read(ahead, 5, 5 + 20 * MIB, 100 * MIB) == Range(5, 5 + 20 * MIB)
    assert ahead.take(5, 6) is None, "it is not kept"


def test_most_recently_used_blocks_are_kept() -> None:
    ahead, size = ReadAhead(10), 10_000
    for start in range(0, BLOCKS * 1000, 1000):
        read(ahead, start, start + 1, size)
    assert ahead.take(0, 1) is not None
    read(ahead, 9000, 9001, size)
    assert ahead.take(0, 1) is not None
    assert ahead.take(1000, 1001) is None
    ahead.forget()
    assert ahead.take(9000, 9001) is None


def test_cached_range_is_returned_from_its_first_byte() -> None:
    ahead = ReadAhead(4)
    ahead.keep(10, b"abcd")
    assert ahead.take(12, 99) == b"cd"
    assert ahead.take(9, 11) is None
    assert ahead.take(14, 15) is None


ranges = st.builds(lambda start, length: Range(start, start + length), st.integers(0, 300), st.integers(0, 60))


@given(st.lists(ranges, max_size=12), st.integers(0, 40))
def test_merged_ranges_cover_all_and_respect_the_gap(wanted: list[Range], gap: int) -> None:
    content = bytes(range(256)) * 2
    merged = merge(wanted, gap=gap)
    found = [(each, content[each.start : each.stop]) for each in merged]
    assert [cut(each, found) for each in wanted] == [content[each.start : each.stop] for each in wanted]
    assert all(after.start - before.stop > gap for before, after in itertools.pairwise(merged))
    needed = {byte for each in wanted for byte in range(each.start, each.stop)}
    for each in merged:
        assert {each.start, each.stop - 1} <= needed, "nothing is requested before or behind what is wanted"
