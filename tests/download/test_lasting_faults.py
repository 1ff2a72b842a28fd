"""Lasting faults, with a clock whose waits end at once: they end within about the configured time, for any number of
files; slow progress, or another URL, does not fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

import pytest
from scripted_server import (
    API_KEY,
    RUN,
    SIGNATURE,
    Answer,
    ScriptedServer,
    Seen,
    SkippingClock,
    Stored,
    client,
    clients_use,
    error_of,
    refusal,
    remote,
)
from scripted_server import server as server
from transports import each_transport

from wbfiles_async import TransferError, TransferOptions
from wbfiles_async.errors import WBFilesError

MIB = 1 << 20
OPTIONS = TransferOptions()


@pytest.fixture
def clock() -> Iterator[SkippingClock]:
    skipping = SkippingClock()
    with clients_use(skipping.clock):
        yield skipping


@pytest.mark.fault(50, 51, 206)
@pytest.mark.parametrize(
    ("files", "size"), [(1, 100), (2, 100), (40, 100), (1, 40 * MIB)], ids=["one", "two", "forty", "in parts"]
)
@pytest.mark.parametrize("status", [500, 503])
async def test_unavailable_store_ends_the_download_after_one_time_budget(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock, files: int, size: int, status: int
) -> None:
    for n in range(files):
        server.put(str(n), b"data", refusal(status, "x"), sizeBytes=size, md5=None)
    defaults = {"attempts": OPTIONS.attempts, "time_budget": OPTIONS.time_budget}
    async with client(server, **defaults) as api:
        began = clock.monotonic()
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
        took = clock.monotonic() - began
    assert report.failed == files
    assert took < 1.5 * OPTIONS.time_budget


@each_transport
@pytest.mark.fault(208)
async def test_short_lived_connections_complete_the_file(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock
) -> None:
    data = bytes(range(256)) * 4096 * 8
    stored = Stored(data)
    node = server.put("a.bin", data, stored.but(cut=MIB // 2, end="reset"))
    async with client(server, attempts=2, part_size=64 * MIB, connections=1) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == data
    assert len(server.seen()) >= 16, "many more than the attempts"


@pytest.mark.fault(209)
async def test_throttled_fresh_url_is_no_failed_renewal(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock
) -> None:
    expired = refusal(403, "AccessDenied", "Request has expired")
    slow = refusal(503, "SlowDown")
    node = server.put("a.bin", b"data", expired, slow, expired, slow, expired, Stored(b"data"))
    async with client(server, attempts=5) as api:
        assert (await remote(api, node).fetch(tmp_path)).read_bytes() == b"data"


@each_transport
@pytest.mark.fault(210)
@pytest.mark.parametrize(
    "shortcut",
    [refusal(403, "AccessDenied"), refusal(403, "AccessDenied", "Request has expired"), refusal(400, "ExpiredToken")],
    ids=["refused", "stays expired", "stays expired by a token"],
)
async def test_refused_direct_url_falls_back_to_the_api_url(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock, shortcut: Answer
) -> None:
    node = server.put("a.bin", b"data", shortcut)
    node["url"] = server.base_url + "/files/a.bin"
    server.on("/files/a.bin", Stored(b"data"))
    async with client(server) as api:
        assert (await remote(api, node).fetch(tmp_path)).read_bytes() == b"data"


@pytest.mark.fault(207)
async def test_store_with_one_byte_per_response_is_abandoned(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock
) -> None:
    data = bytes(range(256)) * 4096 * 3

    def one_byte(seen: Seen) -> Answer:
        start = seen.range[0] if seen.range else 0
        place = {"Content-Range": f"bytes {start}-{start}/{len(data)}", "ETag": '"v1"'}
        return Answer(status=206, headers=place, body=data[start : start + 1])

    node = server.put("a.bin", data, one_byte)
    async with client(server, attempts=3, part_size=MIB) as api, asyncio.timeout(30):
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert len(server.seen()) < 100


@each_transport
@pytest.mark.fault(207)
@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        (b"", b"1;" + b"x" * 4000),
        (b"1\r\nA\r\n0\r\n", b"X-Trailer: x\r\n" * 300),
    ],
    ids=["an extension of a chunk", "trailers"],
)
async def test_trickling_framing_is_abandoned(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock, begun: bytes, rest: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + begun
    answer = Answer(head=head, body=rest, piece=1, pause=0.02, framing="none")
    node = server.put("a.bin", b"A", answer, md5=None, sizeBytes=None)
    async with client(server, attempts=1, stall_seconds=0.3) as api, asyncio.timeout(20):
        await error_of(TransferError, remote(api, node).fetch(tmp_path))


def frames(error: BaseException | None) -> Iterator[FrameType]:
    """Yield the frames of an error and of its causes."""
    while error is not None:
        trace: TracebackType | None = error.__traceback__
        while trace is not None:
            yield trace.tb_frame
            trace = trace.tb_next
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@each_transport
@pytest.mark.fault(110)
@pytest.mark.parametrize("of_api", [True, False], ids=["the API", "a store"])
async def test_no_frame_of_ours_shows_a_key_or_a_signature(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock, of_api: bool
) -> None:
    """Tracebacks with local variables are what rich, pytest and services for errors print."""
    node = server.put("a.bin", b"data", Answer(head=b"none\r\n\r\n", end="close"))
    if of_api:
        server.on("/graphql", Answer(status=500))
    async with client(server, attempts=1) as api:
        work = api.run(RUN).file("a.bin") if of_api else remote(api, node).fetch(tmp_path)
        error = await error_of(WBFilesError, work)
        basic = "YXBpOm"  # what "api:" is in base64, at the beginning of Basic credentials
        ours = [frame for frame in frames(error) if "wbfiles_async" in frame.f_code.co_filename]
        assert ours
        for frame in ours:
            if "/tests/" in frame.f_code.co_filename:
                continue
            for name, value in frame.f_locals.items():
                shown = repr(value)
                assert not any(secret in shown for secret in (API_KEY, SIGNATURE, basic)), (frame.f_code.co_name, name)


@pytest.mark.fault(212)
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nETag: \"\xff\xfe\"\r\nContent-Length: 4\r\n\r\ndata",
        b"HTTP/1.1 200 OK\r\nContent-Length: \x1c4\r\n\r\ndata",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4_0\r\n\r\ndata",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: \xe9\r\n\r\ndata",
        b"HTTP/1.1 302 Found\r\nLocation: http://xn--a.example/x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1/x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 \xff\r\nRetry-After: \xb2\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 206 P\r\nContent-Range: bytes \xb2-3/4\r\nContent-Length: 4\r\n\r\ndata",
    ],
)  # fmt: skip
@each_transport
async def test_invalid_response_for_one_file_spares_the_others(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock, head: bytes
) -> None:
    odd = Answer(head=head, end="close", framing="none")
    for name in ("a", "odd", "z"):
        server.put(name, name.encode() * 4, *([odd] if name == "odd" else []), md5=None)
    async with client(server, attempts=1) as api:
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
    assert [(tmp_path / name).read_bytes() for name in ("a", "z")] == [b"aaaa", b"zzzz"]
    assert report.files == 3
    assert all(isinstance(failure.error, WBFilesError) for failure in report.failures)


@pytest.mark.parametrize(
    "url",
    ["http://xn--a.example/x", "http://[::1/x", "http://127.0.0.1:99999/x", "http://127.0.0.1:port/x", "http:///x"],
)
@each_transport
async def test_invalid_url_of_one_file_spares_the_others(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock, url: str
) -> None:
    for name in ("a", "odd", "z"):
        server.put(name, name.encode() * 4, directUrl=url if name == "odd" else server.url(f"/store/{name}"))
    async with client(server, attempts=1) as api:
        await error_of(WBFilesError, remote(api, server.files["odd"]).read_bytes())
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
    assert [(tmp_path / name).read_bytes() for name in ("a", "z")] == [b"aaaa", b"zzzz"]
    assert [failure.name for failure in report.failures] == ["odd"]
    assert isinstance(report.failures[0].error, WBFilesError)


@each_transport
async def test_head_above_any_limit_is_reported_in_one_line(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock
) -> None:
    """A head of 32 KiB is accepted, and one of 512 KiB is not."""
    headers = {f"X-{n}": "x" * 1024 for n in range(32)}
    good = server.put("good", b"data", Answer(body=b"data", headers=headers))
    bad = server.put("bad", b"data", Answer(body=b"data", headers=headers | {"X-Large": "x" * (512 << 10)}))
    async with client(server) as api:
        assert await remote(api, good).read_bytes() == b"data"
        error = await error_of(TransferError, remote(api, bad).read_bytes())
    assert str(error).startswith("bad: the connection to ")
    assert "x" * 1024 not in str(error)
    assert "\n" not in str(error)
