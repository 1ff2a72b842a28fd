"""Responses with status 200 that are no file, responses that never begin, and unavailable encodings."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest
from scripted_server import (
    API_KEY,
    RUN,
    Answer,
    ScriptedServer,
    Seen,
    Stored,
    base64_md5,
    client,
    error_of,
    quick,
    remote,
    with_clock,
)
from scripted_server import server as server
from scripted_server import waits as waits
from transports import each_transport

from wbfiles_async import AsyncApi, NameCollisionError, TransferError

pytestmark = pytest.mark.usefixtures("waits")

DATA = b"data" * 1000
PAGE = b"<!doctype html><html><title>Blocked by policy</title></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
each_framing = pytest.mark.parametrize("framing", ["length", "chunked"])


@each_transport
@each_framing
@pytest.mark.fault(201)
async def test_web_page_instead_of_a_file_is_recognised(server: ScriptedServer, tmp_path: Path, framing: str) -> None:
    page = Answer(headers=HTML, body=PAGE).but(framing=framing)
    node = server.put("model.bin", DATA, page)
    async with client(server) as api:
        error = await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert "an HTML page" in str(error)
    assert "a login page, a proxy or a firewall is in the way" in str(error)
    assert ("Blocked by policy" in str(error)) is (framing == "length"), "where the body was left unread"
    assert len(server.seen()) <= 3
    assert not list(tmp_path.iterdir())


@each_framing
@pytest.mark.fault(201)
async def test_blocked_store_falls_back_to_the_api_url(server: ScriptedServer, tmp_path: Path, framing: str) -> None:
    node = server.put("model.bin", DATA, Answer(headers=HTML, body=PAGE).but(framing=framing))
    node["url"] = server.url("/files/model.bin")
    server.on("/files/model.bin", Stored(DATA))
    async with client(server) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == DATA


@each_framing
@pytest.mark.parametrize(
    ("name", "attributes"), [("report.html", {}), ("report", {"mimetype": "text/html"})], ids=["name", "type"]
)
async def test_html_file_is_downloaded(
    server: ScriptedServer, tmp_path: Path, framing: str, name: str, attributes: dict[str, str]
) -> None:
    node = server.put(name, PAGE, Answer(headers=HTML, body=PAGE).but(framing=framing), **attributes)
    async with client(server) as api:
        assert (await remote(api, node).fetch(tmp_path)).read_bytes() == PAGE


async def test_file_with_an_html_type_is_downloaded(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("model.bin", DATA, Answer(headers=HTML, body=DATA))
    async with client(server) as api:
        assert (await remote(api, node).fetch(tmp_path)).read_bytes() == DATA


@each_transport
@pytest.mark.fault(202)
@pytest.mark.parametrize("size", [len(DATA), 3 << 20], ids=["small", "large"])
async def test_compressed_form_is_requested_after_406(server: ScriptedServer, tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256)
    stored = gzip.compress(data)

    def store(seen: Seen) -> Answer:
        if "gzip" not in seen.headers["accept-encoding"]:
            return Answer(status=406, body=b"<Error><Code>NotAcceptable</Code></Error>")
        return Answer(headers={"Content-Encoding": "gzip"}, body=stored)

    node = server.put("a.txt", data, store, md5=base64_md5(stored), sizeBytes=len(stored))
    async with client(server, part_size=1 << 16) as api:
        assert (await remote(api, node).fetch(tmp_path)).read_bytes() == data


async def test_lasting_406_raises_at_once(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.txt", DATA, Answer(status=406))
    async with client(server) as api:
        error = await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert "406" in str(error)
    assert len(server.seen()) == 2


HEADS = {
    "one that trickles": Answer(head=b"HTTP/1.1 200 OK\r\n", body=b"X-Padding: x\r\n", piece=1, pause=0.02),
    "informational ones": Answer(head=b"", body=b"HTTP/1.1 102 Processing\r\n\r\n", pause=0.01),
}


@each_transport
@pytest.mark.fault(203)
@pytest.mark.parametrize("of_api", [True, False], ids=["of the API", "of a store"])
@pytest.mark.parametrize("answer", HEADS.values(), ids=HEADS.keys())
async def test_endless_head_times_out(server: ScriptedServer, tmp_path: Path, answer: Answer, of_api: bool) -> None:
    """Also with a fast connection and a long connect timeout."""
    node = server.put("a.bin", DATA, answer.but(framing="none", endless=True))
    options = quick(attempts=1, connect_timeout=60.0, stall_seconds=0.3)
    if of_api:
        server.on("/graphql", answer.but(framing="none", endless=True))
    made = AsyncApi(
        base_url=server.base_url, api_key=API_KEY, timeout=0.3, options=options, **server.transport.inject()
    )
    async with with_clock(made) as api, asyncio.timeout(10):
        work = api.run(RUN).file("a.bin") if of_api else remote(api, node).fetch(tmp_path)
        error = await error_of(TransferError, work)
    assert "went silent" in str(error)
    assert ("WANDB_HTTP_TIMEOUT" in str(error)) is of_api


@pytest.mark.fault(97)
async def test_duplicate_listed_name_is_reported(server: ScriptedServer, tmp_path: Path) -> None:
    nodes = [server.put("a.bin", DATA), server.put("b.bin", DATA)]
    nodes[1]["name"] = "a.bin"
    async with client(server) as api:
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
    assert report.failed == 2
    for failure in report.failures:
        assert isinstance(failure.error, NameCollisionError)
        assert "'a.bin' is listed twice; neither is written" in str(failure.error)
