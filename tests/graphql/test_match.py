from __future__ import annotations

import base64
import hashlib

import pytest

from wbfiles_async._graphql.match import Match, parse_match
from wbfiles_async._models import FileAttributes
from wbfiles_async.errors import ConfigurationError

DIGEST = hashlib.md5(b"abc")
FILE = FileAttributes(
    id="RmlsZTox",
    name="a/b.txt",
    url="https://api/files/b",
    direct_url="https://bkt.s3.amazonaws.com/b.txt?X-Amz-Signature=now",
    size_bytes=3,
    md5=base64.b64encode(DIGEST.digest()).decode(),
    mimetype="text/plain",
    updated_at="2024-01-01T00:00:00",
)


def match(**wanted: object) -> Match:
    return parse_match(wanted, run_id="run1")


@pytest.mark.parametrize(
    "wanted",
    [
        {"id": "RmlsZTox"},
        {"id": "run1"},
        {"name": "a/b.txt"},
        {"url": "https://api/files/b"},
        {"direct_url": FILE.direct_url},
        {"directUrl": "https://bkt.s3.amazonaws.com/b.txt?X-Amz-Signature=earlier"},
        {"directUrl": "https://bkt.s3.amazonaws.com/b.txt"},
        {"sizeBytes": 3},
        {"size_bytes": "3"},
        {"md5": FILE.md5},
        {"md5": DIGEST.hexdigest()},
        {"mimetype": "text/plain"},
        {"updated_at": "2024-01-01T00:00:00"},
        {"updatedAt": "2024-01-01T00:00:00"},
        {"path_uri": "s3://bkt/b.txt"},
        {"pathUri": "s3://bkt/b.txt"},
        {"id": "run1", "name": "a/b.txt", "sizeBytes": 3},
        {"sizeBytes": 3, "size_bytes": "3"},
    ],
)
def test_file_with_all_attributes_matches(wanted: dict[str, object]) -> None:
    assert match(**wanted).accepts(FILE)


@pytest.mark.parametrize(
    "wanted",
    [
        {"id": "run2"},
        {"id": None},
        {"name": "A/b.txt"},
        {"url": "https://api/files/b?x=1"},
        {"url": None},
        {"direct_url": "https://bkt.s3.amazonaws.com/c.txt?X-Amz-Signature=now"},
        {"sizeBytes": 4},
        {"sizeBytes": None},
        {"md5": "0"},
        {"md5": None},
        {"md5": hashlib.md5(b"x").hexdigest()},
        {"mimetype": "text"},
        {"updated_at": "2024"},
        {"path_uri": "s3://bkt/c.txt"},
        {"path_uri": ""},
        {"name": "a/b.txt", "sizeBytes": 4},
    ],
)
def test_file_with_one_difference_does_not_match(wanted: dict[str, object]) -> None:
    assert not match(**wanted).accepts(FILE)


def test_none_matches_unknown_values() -> None:
    bare = FileAttributes(id="x", name="x")
    assert match(sizeBytes=None, md5=None, url=None).accepts(bare)
    assert not parse_match({"id": None}, run_id=None).accepts(bare)


def test_malformed_md5s_are_not_equal() -> None:
    assert not match(md5="1").accepts(FileAttributes(id="x", name="x", md5="0"))


def test_name_is_available_for_a_server_lookup() -> None:
    assert match(name="a/b.txt").name == "a/b.txt"
    assert match(id="x").name is None


@pytest.mark.parametrize("wanted", [{}, {"size": 3}, {"direct-url": "x"}, {"Name": "x"}, {"name": "x", "sha": "y"}])
def test_no_or_unknown_keys_are_refused_with_the_valid_ones(wanted: dict[str, object]) -> None:
    with pytest.raises(
        ConfigurationError, match="id, name, url, direct_url, sizeBytes, md5, mimetype, updated_at, path_uri"
    ):
        parse_match(wanted, run_id=None)


@pytest.mark.parametrize(
    "wanted",
    [
        {"sizeBytes": 3, "size_bytes": 4},
        {"updated_at": "a", "updatedAt": "b"},
        {"sizeBytes": "3x"},
        {"sizeBytes": True},
        {"sizeBytes": 3.0},
        {"name": 7},
        {"md5": b"x"},
    ],
)
def test_impossible_values_are_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        parse_match(wanted, run_id=None)
