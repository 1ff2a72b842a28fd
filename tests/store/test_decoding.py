"""Files that are compressed in the store, or in transit."""

from __future__ import annotations

import functools
import gzip
import hashlib
import random
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import (
    RUN,
    Answer,
    Program,
    ScriptedServer,
    Seen,
    Stored,
    base64_md5,
    client,
    error_of,
    remote,
    temporaries,
)
from scripted_server import server as server
from scripted_server import waits as waits
from transports import ours_and_injected

from wbfiles_async import IntegrityError, TransferError
from wbfiles_async._http import gzip as gzipped
from wbfiles_async._http.gzip import CorruptError, Gunzip
from wbfiles_async._retry.failure import RetryAction
from wbfiles_async._store.response import Body, Rejection, validate_response

pytestmark = [pytest.mark.usefixtures("waits"), ours_and_injected]

MIB = 1 << 20
SMALL = b"a line of text\n" * 500
LARGE = random.Random(5).randbytes(3 * MIB) + SMALL  # incompressible
each_size = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])


@functools.lru_cache(8)
def packed(data: bytes) -> bytes:
    """Compress deterministically."""
    return gzip.compress(data, mtime=0)


# The stream


def unpacked(stream: bytes, *, piece: int = 1000) -> bytes:
    gunzip = Gunzip()
    given = b"".join(b"".join(gunzip.feed(stream[at : at + piece])) for at in range(0, len(stream), piece))
    if not gunzip.is_whole:
        raise EOFError
    assert (gunzip.taken, gunzip.given) == (len(stream), len(given))
    return given


@given(st.binary(max_size=5000), st.integers(1, 7000))
def test_stream_is_decoded_however_it_arrives(data: bytes, piece: int) -> None:
    assert unpacked(packed(data), piece=piece) == data


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(0, 600), st.integers(1, 2000))
def test_several_members_and_padding_are_one_stream(parts: list[bytes], padding: int, piece: int) -> None:
    assert unpacked(b"".join(map(packed, parts)) + bytes(padding), piece=piece) == b"".join(parts)


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.integers(0, 7))
def test_flipped_bit_is_noticed_or_harmless(at: int, bit: int) -> None:
    stream = bytearray(packed(SMALL))
    at = 10 + at % (len(stream) - 10)  # the head has a time and a system, which do not matter
    stream[at] ^= 1 << bit
    with suppress(CorruptError, EOFError):
        assert unpacked(bytes(stream)) == SMALL  # some bits mean nothing


@pytest.mark.parametrize("cut", [1, 9, 10, 20, -1, -8])
def test_truncated_stream_is_incomplete(cut: int) -> None:
    with pytest.raises(EOFError):
        unpacked(packed(SMALL)[:cut])


def test_decompression_bomb_is_stopped_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzipped, "_MOST_UNCOMPRESSED", 2 * MIB)
    gunzip, given = Gunzip(), 0
    steps = gunzip.feed(packed(bytes(64 * MIB)))
    with suppress(CorruptError):
        for step in steps:
            assert len(step) <= 256 << 10
            given += len(step)
        pytest.fail("took a bomb")
    assert given <= 7 * MIB


def test_stream_may_arrive_in_one_piece() -> None:
    assert unpacked(packed(LARGE), piece=len(LARGE) * 2) == LARGE


def test_many_small_members_take_time_in_proportion_and_few_steps() -> None:
    """Quadratic time would exceed the suite's time limit."""
    line, count = b"a line of text\n" * 4, 100_000
    gunzip, stream = Gunzip(), packed(line) * count
    steps = list(gunzip.feed(stream))
    assert b"".join(steps) == line * count
    assert len(steps) < count / 100


def test_endless_empty_stream_is_an_error() -> None:
    gunzip, empty = Gunzip(), packed(b"") * 1000
    while gunzip.taken + len(empty) <= MIB:
        assert list(gunzip.feed(empty)) == []
    with pytest.raises(CorruptError, match="hold only"):
        list(gunzip.feed(empty))


# The response

ANSWERS: dict[str, tuple[dict[str, str], bool, object]] = {
    "plain": ({"content-length": "1000"}, False, Body(0, 1000)),
    "stored compressed on S3": ({"content-length": "1000", "content-encoding": "gzip"}, False, Body(0, 1000)),
    "compressed in transit": ({"content-encoding": "gzip"}, False, RetryAction.DECODE),
    "compressed in transit, with a length": (
        {"content-encoding": "x-gzip", "content-length": "9"}, False, RetryAction.DECODE),
    "decompressed by GCS": ({"x-goog-stored-content-encoding": "gzip"}, False, RetryAction.DECODE),
    "plain on GCS": ({"x-goog-stored-content-encoding": "identity"}, False, Body(0, 1000)),
    "in an encoding that was not requested": ({"content-encoding": "br"}, False, RetryAction.FAIL),
    "in two encodings": ({"content-encoding": "gzip, gzip"}, False, RetryAction.FAIL),
    "compressed as requested": ({"content-encoding": "gzip", "content-length": "9"}, True, Body(0, 9)),
    "compressed as requested, without a length": ({"content-encoding": "gzip"}, True, Body(0, None)),
    "plain after compressed": ({"content-length": "1000"}, True, RetryAction.RESTART),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "encoded", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_encoded_response_is_classified_by_its_encoder(
    headers: dict[str, str], encoded: bool, expected: object
) -> None:
    size = None if encoded else 1000
    found = validate_response(200, headers, start=0, stop=size, size=size, etag=None, encoded=encoded)
    assert (found.action if isinstance(found, Rejection) else found) == expected


@pytest.mark.fault(38)
def test_encoded_range_does_not_affect_other_files() -> None:
    place = {"content-range": "bytes 5-9/1000"}
    encoded = validate_response(206, place | {"content-encoding": "gzip"}, start=5, stop=10, size=1000, etag=None)
    ignored = validate_response(200, {}, start=5, stop=10, size=1000, etag=None)
    assert isinstance(encoded, Rejection)
    assert isinstance(ignored, Rejection)
    assert encoded.action is ignored.action is RetryAction.FETCH_WHOLE
    assert (encoded.everywhere, ignored.everywhere) == (False, True)


# Stores


def gcs(data: bytes, stream: bytes | None = None) -> Program:
    """A file that GCS stores compressed: decompressed in transit unless gzip is accepted."""
    stored = {"x-goog-stored-content-encoding": "gzip", "x-goog-stored-content-length": "1", "ETag": '"v1"'}
    compressed = packed(data) if stream is None else stream

    def answer(seen: Seen) -> Answer:
        if "gzip" in seen.headers["accept-encoding"]:
            return Answer(headers=stored | {"Content-Encoding": "gzip"}, body=compressed)
        return Answer(headers=stored | {"Warning": "214 UploadServer gunzipped"}, body=data, framing="chunked")

    return answer


def compressing(data: bytes) -> Program:
    """A proxy that compresses in transit, whatever was requested."""
    return lambda seen: Answer(headers={"Content-Encoding": "gzip"}, body=packed(data), framing="chunked")


def put_on_gcs(server: ScriptedServer, data: bytes, **attributes: object) -> dict[str, object]:
    stored = packed(data)
    stated: dict[str, object] = {"sizeBytes": len(stored), "md5": base64_md5(stored)}
    return server.put("a.txt", data, gcs(data), **(stated | attributes))


UNKNOWN: dict[str, object] = {"sizeBytes": None, "md5": None}


@pytest.mark.fault(36)
@each_size
@pytest.mark.parametrize("known", [{}, {"md5": None}, {"sizeBytes": None}, UNKNOWN], ids=str)
async def test_gcs_gzip_is_verified_stored_and_written_decoded(
    server: ScriptedServer, tmp_path: Path, data: bytes, known: dict[str, object]
) -> None:
    put_on_gcs(server, data, **known)
    async with client(server, part_size=MIB) as api:
        report = await api.run(RUN).download(tmp_path)
        assert await (await api.run(RUN).file("a.txt")).read_bytes() == data
    assert (tmp_path / "a.txt").read_bytes() == data
    assert (report.downloaded, report.verified) == (1, int("md5" not in known))
    last = server.seen()[-1]
    assert last.headers["accept-encoding"] == "gzip"
    assert last.range is None
    assert not temporaries(tmp_path)


@pytest.mark.fault(36)
@each_size
async def test_wrong_stored_bytes_are_never_published(server: ScriptedServer, tmp_path: Path, data: bytes) -> None:
    node = put_on_gcs(server, data)
    server.on("/store/a.txt", gcs(data, packed(data[:-1] + b"!")))
    (tmp_path / "a.txt").write_bytes(b"old")
    async with client(server, part_size=MIB) as api:
        error = await error_of(IntegrityError, remote(api, node).fetch(tmp_path, replace=True))
    assert str(node["sizeBytes"]) in str(error) or hashlib.md5(packed(data)).hexdigest() in str(error)
    assert [seen.headers["accept-encoding"] for seen in server.seen()].count("gzip") == 2
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.txt", b"old")]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a wrong checksum": lambda stream: stream[:-8] + b"\0\0\0\0" + stream[-4:],
    "a broken block": lambda stream: stream[:100] + bytes([0xFF] * 50) + stream[150:],
    "not gzip": lambda stream: bytes(len(stream)),
    "data after the end": lambda stream: stream + b"and more",
}


@pytest.mark.fault(36, 37)
@each_size
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_damaged_stream_is_an_error_and_nothing_is_written(
    server: ScriptedServer, tmp_path: Path, data: bytes, damage: Callable[[bytes], bytes]
) -> None:
    node = server.put("a.txt", data, gcs(data, damage(packed(data))), **UNKNOWN)
    async with client(server, part_size=MIB) as api:
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
        await error_of(TransferError, remote(api, node).read_bytes())
    assert len(server.seen()) <= 8
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(36, 37)
async def test_decompression_bomb_raises_without_filling_the_disk(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gzipped, "_MOST_UNCOMPRESSED", 4 * MIB)
    node = put_on_gcs(server, bytes(64 * MIB))
    server.on("/store/a.txt", gcs(b"small", packed(bytes(64 * MIB))))
    async with client(server) as api:
        error = await error_of(IntegrityError, remote(api, node).fetch(tmp_path))
    assert "grow to more than" in str(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(36, 37)
@each_size
@pytest.mark.parametrize("framing", ["length", "none"])
async def test_truncated_compressed_stream_restarts(
    server: ScriptedServer, tmp_path: Path, data: bytes, framing: str
) -> None:
    node, stored = put_on_gcs(server, data), gcs(data)
    answers = iter(range(10))

    def breaking(seen: Seen) -> Answer:
        answer = stored(seen)
        assert isinstance(answer, Answer)
        if "gzip" in seen.headers["accept-encoding"] and next(answers) < 1:
            return answer.but(cut=50, end="close", framing=framing)
        return answer

    server.on("/store/a.txt", breaking)
    async with client(server, part_size=MIB) as api:
        await remote(api, node).fetch(tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == data


async def test_always_truncated_compressed_stream_raises(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.txt", SMALL, gcs(SMALL, packed(SMALL)[:-20]), **UNKNOWN)
    async with client(server, attempts=3) as api:
        error = await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert "ended the compressed stream too early" in str(error)
    assert [seen.headers["accept-encoding"] for seen in server.seen()].count("gzip") == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(35)
@each_size
@pytest.mark.parametrize("known", [{}, {"md5": None}, UNKNOWN], ids=str)
async def test_proxy_compression_is_undone_and_verified(
    server: ScriptedServer, tmp_path: Path, data: bytes, known: dict[str, object]
) -> None:
    node = server.put("a.txt", data, compressing(data), **known)
    async with client(server, part_size=MIB) as api:
        await remote(api, node).fetch(tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == data


@pytest.mark.fault(35, 38)
@each_size
async def test_s3_gzip_is_written_as_stored(server: ScriptedServer, tmp_path: Path, data: bytes) -> None:
    """Its length and md5 are those of the logged file: it was compressed before."""
    stream = packed(data)
    stored = Stored(stream)

    def s3(seen: Seen) -> Answer:
        answer = stored(seen)
        return answer.but(headers=dict(answer.headers) | {"Content-Encoding": "gzip"})

    zipped, plain = server.put("a.txt.gz", stream, s3), server.put("plain", LARGE)
    async with client(server, part_size=MIB) as api:
        await remote(api, zipped).fetch(tmp_path)
        await remote(api, plain).fetch(tmp_path)
    assert (tmp_path / "a.txt.gz").read_bytes() == stream
    assert server.seen("/store/a.txt.gz")[-1].range is None
    assert {seen.headers["accept-encoding"] for seen in server.seen()} == {"identity"}
    assert len(server.seen("/store/plain")) == 4  # whose parts are still requested concurrently


@pytest.mark.fault(35)
async def test_unsupported_encoding_is_an_error(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a", SMALL, Answer(headers={"Content-Encoding": "br"}, body=b"?" * 10), **UNKNOWN)
    async with client(server) as api:
        error = await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert "'br'" in str(error)
    assert len(server.seen()) == 1
    assert list(tmp_path.iterdir()) == []


async def test_wrongly_marked_gzip_raises_after_bounded_attempts(server: ScriptedServer, tmp_path: Path) -> None:
    marked = {"x-goog-stored-content-encoding": "gzip"}
    node = server.put("a", SMALL, Answer(headers=marked, body=SMALL))  # also if gzip is requested
    async with client(server) as api:
        error = await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert "compressed" in str(error)
    assert len(server.seen()) <= 6


@each_size
@pytest.mark.parametrize(("start", "stop"), [(0, None), (7, None), (0, 100), (1000, 3000), (7400, 10**9)])
async def test_stream_and_download_yield_the_same_bytes(
    server: ScriptedServer, data: bytes, start: int, stop: int | None
) -> None:
    node = put_on_gcs(server, data) if data is LARGE else put_on_gcs(server, data, sizeBytes=None)
    async with client(server) as api:
        given = [piece async for piece in remote(api, node).stream(start, stop)]
    assert b"".join(given) == data[start:stop]


def test_steps_are_bounded() -> None:
    """Also for a little input with a lot of output: zlib keeps the rest for the next step."""
    stream = zlib.compress(bytes(10 * MIB), wbits=31)
    gunzip = Gunzip()
    lengths = [len(step) for byte in stream for step in gunzip.feed(bytes([byte]))]
    assert sum(lengths) == 10 * MIB
    assert max(lengths) <= 256 << 10
