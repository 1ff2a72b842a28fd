"""Credentials are sent to the API's exact origin only, and forbidden addresses are never contacted."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted_server import (
    API_KEY,
    RUN,
    SIGNATURE,
    Answer,
    ScriptedServer,
    Seen,
    Stored,
    client,
    error_of,
    quick,
    redirect,
    refusal,
    remote,
    secrets_in,
)
from scripted_server import server as server
from scripted_server import waits as waits
from transports import each_transport, ours_and_injected

from wbfiles_async import (
    AsyncApi,
    IncompleteDownloadError,
    RunNotFoundError,
    TransferError,
    UnsupportedReferenceError,
    WBFilesError,
)

pytestmark = pytest.mark.usefixtures("waits")

DATA = b"data" * 1000

# The only header fields that a store may receive.
ALLOWED = {"host", "user-agent", "accept", "accept-encoding", "range", "if-match"}


@asynccontextmanager
async def store_of(server: ScriptedServer) -> AsyncIterator[tuple[ScriptedServer, AsyncApi]]:
    """A store at another origin than the API, which no proxy is used for, and a client."""
    async with ScriptedServer(server.transport.server_context()) as store, client(server) as api:
        yield store, api


def authorized(requests: list[Seen]) -> list[str]:
    return [seen.path for seen in requests if "authorization" in seen.headers]


@each_transport
@pytest.mark.fault(35, 60)
async def test_key_is_sent_to_the_api_only(server: ScriptedServer) -> None:
    async with store_of(server) as (store, api):
        stored = Stored(DATA)
        store.on("/store/a", stored.but(cut=10, end="close"), stored)
        server.on("/files/a", redirect(store.url("/store/a")))
        server.put("a", DATA, directUrl=None, url=f"{server.base_url}/files/a")
        assert await (await api.run(RUN).file("a")).read_bytes() == DATA
    assert authorized(server.requests) == ["/graphql", "/files/a", "/files/a"]
    assert len(store.requests) == 2
    for seen in store.requests:
        assert set(seen.headers) <= ALLOWED


@each_transport
@pytest.mark.fault(64)
async def test_signed_url_gets_no_credentials_even_on_the_api_host(server: ScriptedServer) -> None:
    nodes = [
        server.put("aws", DATA, directUrl=f"{server.base_url}/store/aws?X-Amz-Signature={SIGNATURE}"),
        server.put("gcs", DATA, directUrl=f"{server.base_url}/store/gcs?X-Goog-Signature={SIGNATURE}"),
        server.put("azure", DATA, directUrl=f"{server.base_url}/store/azure?se=1&sig={SIGNATURE}"),
        server.put("redirected", DATA, directUrl=None, url=f"{server.base_url}/files/redirected"),
    ]
    server.on("/files/redirected", redirect(server.url("/store/redirected")))
    async with client(server) as api:
        for node in nodes:
            assert await remote(api, node).read_bytes() == DATA
    assert authorized(server.requests) == ["/files/redirected"]


@ours_and_injected
@pytest.mark.fault(61)
@pytest.mark.parametrize(
    "other",
    ["http://localhost:{port}", "http://127.0.0.1.:{port}", "http://127.1:{port}", "http://[::ffff:127.0.0.1]:{port}"],
)
async def test_another_name_for_the_apis_host_is_another_origin(server: ScriptedServer, other: str) -> None:
    url = other.format(port=server.port) + "/store/a"
    node = server.put("a", DATA, directUrl=None, url=url)
    async with client(server) as api:
        with suppress(WBFilesError):  # some systems do not connect to such names at all
            await remote(api, node).read_bytes()
    assert authorized(server.requests) == []


@each_transport
@pytest.mark.fault(61)
async def test_another_port_is_another_origin(server: ScriptedServer) -> None:
    async with store_of(server) as (store, api):
        node = store.put("a", DATA, directUrl=None, url=f"{store.base_url}/store/a")
        assert await remote(api, node).read_bytes() == DATA
    assert authorized(store.requests) == []


@each_transport
@pytest.mark.fault(60)
async def test_key_is_sent_on_the_apis_origin_only_across_redirects(server: ScriptedServer) -> None:
    async with store_of(server) as (store, api):
        store.on("/away", redirect(f"{server.base_url}/files/b"))
        server.on("/files/a", redirect(f"{store.base_url}/away"))
        server.on("/files/b", Answer(body=DATA))
        node = server.put("a", DATA, directUrl=None, url=f"{server.base_url}/files/a")
        assert await remote(api, node).read_bytes() == DATA
    assert authorized(store.requests) == []


@each_transport
@pytest.mark.fault(60)
async def test_cookies_are_never_sent_to_a_store(server: ScriptedServer) -> None:
    async with store_of(server) as (store, api):
        cookie = {"Set-Cookie": "session=secret; Path=/"}
        store.on("/store/a", Stored(DATA).but(headers=cookie))
        server.on("/files/a", redirect(store.url("/store/a")).but(headers=cookie | {"Location": store.url("/store/a")}))
        server.put("a", DATA, directUrl=None, url=f"{server.base_url}/files/a")
        for _ in range(2):
            assert await (await api.run(RUN).file("a")).read_bytes() == DATA
    assert not [seen for seen in store.requests if "cookie" in seen.headers]


@each_transport
@pytest.mark.fault(61)
async def test_graphql_redirects_are_never_followed(server: ScriptedServer) -> None:
    async with store_of(server) as (store, api):
        server.on("/graphql", redirect(f"{store.base_url}/graphql", status=307))
        await error_of(WBFilesError, api.run(RUN).file("a"))
    assert store.requests == []


@each_transport
@pytest.mark.fault(62, 111)
async def test_netrc_and_urls_with_a_user_never_add_credentials(server: ScriptedServer, home: Path) -> None:
    (home / ".netrc").write_text("default login somebody password secretsecret\n")
    with_user = server.base_url.replace("://", "://somebody:secretsecret@")
    plain = server.put("plain", DATA)
    refused = server.put("refused", DATA, directUrl=f"{with_user}/store/refused")
    redirected = server.put("redirected", DATA, redirect(f"{with_user}/store/plain"))
    async with client(server) as api:
        assert await remote(api, plain).read_bytes() == DATA
        for node in (refused, redirected):
            error = await error_of(WBFilesError, remote(api, node).read_bytes())
            assert "secretsecret" not in str(error)
    assert authorized(server.requests) == []
    assert len(server.seen()) == 2


# Redirects


@each_transport
@pytest.mark.fault(62)
async def test_redirects_are_followed_five_times(server: ScriptedServer) -> None:
    near = server.put("near", DATA, *(redirect(server.url("/store/near")) for _ in range(5)), Stored(DATA))
    loop = server.put("loop", DATA, redirect(server.url("/store/loop")))
    async with client(server) as api:
        assert await remote(api, near).read_bytes() == DATA
        error = await error_of(TransferError, remote(api, loop).read_bytes())
    assert "redirects more than 5 times" in str(error)
    assert len(server.seen("/store/loop")) == 6


@each_transport
@pytest.mark.fault(62)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/store/b?sig=1", "b?sig=1", "{base}/store/b?sig=1"])
async def test_relative_redirects_are_resolved(server: ScriptedServer, status: int, location: str) -> None:
    node = server.put("a", DATA, redirect(location.format(base=server.base_url.partition(":")[2]), status))
    server.put("b", DATA)
    async with client(server) as api:
        assert await remote(api, node).read_bytes() == DATA


PARSED_BY_HTTPX = {"javascript:alert(1)": "no request can be sent", "http://[::1/x": "Invalid URL in location header"}


@each_transport
@pytest.mark.fault(61, 62)
@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "s3://bucket/key",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/x",
        "javascript:alert(1)",
        "http://user:pass@127.0.0.1/x",
        "http://127.0.0.1\\@elsewhere/x",
        "http://127.0.0.1:99999/x",
        "http://[::1/x",
    ],
)
async def test_redirect_to_an_ambiguous_url_is_refused(server: ScriptedServer, location: str) -> None:
    node = server.put("a", DATA, redirect(location))
    async with client(server) as api:
        error = await error_of(TransferError, remote(api, node).read_bytes())
    if server.transport.name == "an injected client" and location in PARSED_BY_HTTPX:
        assert PARSED_BY_HTTPX[location] in str(error)
        assert {seen.path for seen in server.requests} == {"/store/a"}
    else:
        assert "redirects to" in str(error)
        assert len(server.requests) == 1


@each_transport
@pytest.mark.fault(63)
async def test_redirect_body_is_not_read(server: ScriptedServer) -> None:
    bomb = redirect(server.url("/store/b")).but(body=b"x" * (1 << 20), endless=True, framing="chunked")
    node = server.put("a", DATA, bomb)
    server.put("b", DATA)
    async with client(server) as api, asyncio.timeout(5):
        assert await remote(api, node).read_bytes() == DATA


@each_transport
@pytest.mark.fault(40)
async def test_redirect_without_a_target_is_an_error(server: ScriptedServer) -> None:
    node = server.put("a", DATA, Answer(status=302, body=DATA))
    async with client(server) as api:
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert "302" in str(error)


@pytest.mark.fault(61)
async def test_https_is_never_downgraded() -> None:
    urls: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        urls.append(str(request.url.copy_with(query=None)))
        return httpx.Response(302, headers={"Location": f"http://store.example/a?sig={SIGNATURE}"})

    async with AsyncApi(
        base_url="https://api.example", api_key=API_KEY, transport=httpx.MockTransport(handler), options=quick()
    ) as api:
        node = {"name": "a", "url": "https://api.example/files/a", "sizeBytes": 4}
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert urls == ["https://api.example/files/a"]
    assert "not protected" in str(error)


# Forbidden addresses


@each_transport
@pytest.mark.fault(65)
@pytest.mark.parametrize(
    "uri", ["s3://bucket/key", "gs://bucket/key", "file:///etc/passwd", "ftp://127.0.0.1/x", "abc"]
)
async def test_unsupported_reference_names_its_location(server: ScriptedServer, uri: str) -> None:
    node = server.put("a", DATA, url=uri, directUrl=uri)
    async with client(server) as api:
        error = await error_of(UnsupportedReferenceError, remote(api, node).read_bytes())
    assert error.uri == uri
    assert uri in str(error)
    assert server.requests == []


LINK_LOCAL = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/latest/meta-data/",
    "http://[fe80::1]/x",
    "http://2852039166/latest/meta-data/",
    "http://169.254.43518/latest/meta-data/",
    "http://0xa9fea9fe/latest/meta-data/",
]


@each_transport
@pytest.mark.fault(65)
@pytest.mark.parametrize("url", LINK_LOCAL)
async def test_link_local_address_is_never_connected_to(
    server: ScriptedServer, url: str, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    connected: list[object] = []
    connect = asyncio.SelectorEventLoop.sock_connect

    async def watched(self: asyncio.SelectorEventLoop, sock: socket.socket, address: object) -> None:
        connected.append(address)
        await connect(self, sock, address)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", watched)
    nodes = [server.put("a", DATA, directUrl=url), server.put("b", DATA, redirect(url))]
    async with client(server) as api:
        for node in nodes:
            error = await error_of(TransferError, remote(api, node).read_bytes())
            assert "no request can be sent to" in str(error)
    assert waits == []
    assert all("169.254" not in str(address) and "fe80" not in str(address) for address in connected)
    assert connected


@pytest.mark.fault(65)
async def test_resolved_address_is_checked(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: object, port: int, *_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("169.254.169.254", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    node = server.put("a", DATA, directUrl=f"http://innocent.example/a?sig={SIGNATURE}")
    async with client(server) as api:
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert "link-local" in str(error)


@pytest.mark.fault(65)
@pytest.mark.parametrize("injected", ["http_client", "transport"])
@pytest.mark.parametrize(
    ("host", "is_refused"),
    [("10.0.0.1", False), ("innocent.example", False), ("169.254.169.254", True), ("metadata.google.internal", True)],
)
async def test_injected_client_may_connect_to_what_its_names_resolve_to(
    monkeypatch: pytest.MonkeyPatch, host: str, injected: str, is_refused: bool
) -> None:
    def resolve(host: object, port: int, *_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("169.254.169.254", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=DATA))
    theirs = httpx.AsyncClient(transport=transport)
    given: dict[str, Any] = {"http_client": theirs} if injected == "http_client" else {"transport": transport}
    async with theirs, AsyncApi(base_url="https://api.example", api_key=API_KEY, options=quick(), **given) as api:
        work = remote(api, {"name": "a", "directUrl": f"https://{host}/a", "sizeBytes": len(DATA)}).read_bytes()
        if is_refused:
            assert "no request can be sent to" in str(await error_of(TransferError, work))
        else:
            assert await work == DATA


# Messages, logs and texts


@pytest.mark.fault(110)
async def test_no_text_shows_the_key_or_a_signature(
    server: ScriptedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    quoted = f"The key {API_KEY} and {server.url('/store/a')} are not what they were."
    steps = (
        refusal(403, "AccessDenied", quoted),
        refusal(400, "Bad", quoted),
        refusal(500, "InternalError", quoted),
        redirect(f"ftp://elsewhere/x?X-Amz-Signature={SIGNATURE}"),
        Answer(head=f"HTTP/1.1 {quoted}\r\n\r\n".encode()),
        Answer(body=b"too short"),
    )
    nodes = [server.put(str(n), DATA, step) for n, step in enumerate(steps)]
    async with client(server) as api:
        for node in nodes:
            file = remote(api, node)
            await error_of(WBFilesError, file.read_bytes())
            assert not secrets_in(repr(file) + str(file))
        await error_of(IncompleteDownloadError, api.run(RUN).download(tmp_path))
        assert not secrets_in(repr(api) + repr(api.run(RUN)) + repr(await api.run(RUN).files().to_list()))
        server.on("/graphql", Answer(status=400, body=quoted.encode()))
        await error_of(WBFilesError, api.run(RUN).file("a"))
    assert not secrets_in(caplog.text)


async def test_missing_run_is_reported_without_the_query(server: ScriptedServer) -> None:
    async with client(server) as api:
        server.on("/graphql", Answer(body=b'{"data": {"project": null}}'))
        error = await error_of(RunNotFoundError, api.run(f"{server.base_url}/team/project/runs/r?secret=1").file("a"))
    assert error.run == "team/project/r"
