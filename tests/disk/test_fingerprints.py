from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._disk.fingerprints import BUCKET, MAGIC, find, fingerprint, number_of, room, split

records = st.binary(min_size=24, max_size=24).filter(lambda record: record[:8] != bytes(8))
EMPTY = MAGIC.ljust(BUCKET, b"\0")


def filled(*some: bytes) -> bytes:
    bucket = EMPTY
    for record in some:
        at = room(bucket, record)
        assert at is not None
        bucket = bucket[:at] + record + bucket[at + len(record) :]
    return bucket


def holds(bucket: bytes, record: bytes) -> bool:
    at = find(bucket, record)
    return at is not None and bucket[at : at + 24] == record


@given(st.lists(records, max_size=50, unique_by=lambda record: record[:8]))
def test_only_stored_records_are_found(some: list[bytes]) -> None:
    bucket = filled(*some[1:])
    assert len(bucket) == BUCKET
    assert all(holds(bucket, record) for record in some[1:])
    assert not any(holds(bucket, record) for record in some[:1])


def test_new_record_replaces_the_older_one_of_its_path() -> None:
    older, newer = b"the path" + b"1" * 16, b"the path" + b"2" * 16
    bucket = filled(older, b"another!" + b"3" * 16, newer)
    assert holds(bucket, newer)
    assert not holds(bucket, older)


def test_bucket_holds_170_records() -> None:
    some = [b"%08d" % n + bytes(16) for n in range(171)]
    bucket = filled(*some[:170])
    assert all(holds(bucket, record) for record in some[:170])
    assert room(bucket, some[170]) is None
    assert bucket.startswith(MAGIC)


@given(st.lists(records, max_size=100, unique_by=lambda record: record[:8]), st.integers(0, 10))
def test_bucket_splits_by_its_records_hashes(some: list[bytes], power: int) -> None:
    buckets = 1 << power
    first = [record for record in some if number_of(record, buckets) == 0]
    stays, moves = split(filled(*first), buckets)
    assert (len(stays), len(moves)) == (BUCKET, BUCKET)
    assert stays.startswith(MAGIC)
    assert not moves.startswith(MAGIC)
    for record in first:
        number = number_of(record, 2 * buckets)
        assert number in (0, buckets)
        assert (holds(stays, record), holds(moves, record)) == (number == 0, number == buckets)


@given(st.binary(min_size=BUCKET, max_size=BUCKET), records)
def test_arbitrary_bytes_never_crash(garbage: bytes, record: bytes) -> None:
    assert not holds(garbage, record) or record in garbage
    at = room(garbage, record)
    assert at is None or (at + 24 <= BUCKET and (at - len(MAGIC)) % 24 == 0)
    assert [len(half) for half in split(garbage, 4)] == [BUCKET, BUCKET]


def test_record_covers_every_attribute_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    status = path.stat()

    def but(**changes: int) -> os.stat_result:
        names = ("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size")
        facts = {name: int(getattr(status, name)) for name in names} | changes
        times = {name: getattr(status, name) for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")}
        return os.stat_result([*(facts[name] for name in names), 0, 0, 0], times | changes)

    record = fingerprint("a/b", status, bytes(16))
    assert fingerprint("a/b", but(), bytes(16)) == record
    others = [
        fingerprint("a/c", status, bytes(16)),
        fingerprint("a/b", status, bytes(15) + b"1"),
        *(fingerprint("a/b", but(**{name: 7}), bytes(16)) for name in ("st_dev", "st_ino", "st_size")),
        *(fingerprint("a/b", but(**{name: 7}), bytes(16)) for name in ("st_mtime_ns", "st_ctime_ns")),
    ]
    assert len({record, *others}) == 8
    assert [other[:8] == record[:8] for other in others] == [False] + [True] * 6


@pytest.mark.parametrize("buckets", [1, 16, 1 << 16])
def test_record_belongs_to_exactly_one_bucket(buckets: int) -> None:
    assert {0 <= number_of(os.urandom(24), buckets) < buckets for _ in range(100)} == {True}
