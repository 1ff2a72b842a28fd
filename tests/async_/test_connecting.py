"""Connecting as the client's arguments say: certificates, a proxy, a client of another package."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import httpx2
import pytest
import truststore
from scripted_server import (
    API_KEY,
    RUN,
    SIGNATURE,
    Answer,
    ScriptedServer,
    Step,
    Stored,
    client,
    error_of,
    quick,
    refusal,
    remote,
)
from scripted_server import server as server
from scripted_server import waits as waits
from transports import authority

from wbfiles_async import Api, AsyncApi, ConfigurationError, TransferError
from wbfiles_async._http.transport import DrainingTransport

DATA = bytes(range(256)) * 1024


def trusting(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make a context trust the tests' servers."""
    context.load_verify_locations(cadata=authority().cert_pem.bytes().decode())
    return context


@pytest.fixture
async def encrypted() -> AsyncIterator[ScriptedServer]:
    """A TLS server whose authority the system does not know."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost").configure_cert(context)
    async with ScriptedServer(context) as running:
        running.put("a.txt", b"data")
        yield running


@pytest.fixture
async def proxied(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedServer]:
    """A server that is also its proxy; the environment names another one."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with ScriptedServer(proxy="http") as running:
        running.put("a.txt", b"data")
        yield running


async def read(api: AsyncApi) -> bytes:
    return await (await api.run(RUN).file("a.txt")).read_bytes()


@pytest.mark.parametrize(
    "make",
    [ssl.create_default_context, lambda: truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)],
    ids=["of Python", "of truststore"],
)
async def test_given_ssl_context_checks_certificates(
    encrypted: ScriptedServer, make: Callable[[], ssl.SSLContext]
) -> None:
    async with AsyncApi(
        base_url=encrypted.base_url, api_key=API_KEY, options=quick(), ssl_context=trusting(make())
    ) as api:
        assert await read(api) == b"data"
    strangers = AsyncApi(base_url=encrypted.base_url, api_key=API_KEY, options=quick(attempts=1), ssl_context=make())
    async with strangers as api:
        with pytest.raises(TransferError, match="certificate"):
            await read(api)


async def test_ssl_context_overrides_variables(
    encrypted: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    context = trusting(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    async with AsyncApi(base_url=encrypted.base_url, api_key=API_KEY, ssl_context=context) as api:
        assert await read(api) == b"data"


@pytest.mark.parametrize("no_proxy", ["", "*"])
async def test_given_proxy_is_used_for_everything(
    proxied: ScriptedServer, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    monkeypatch.setenv("no_proxy", no_proxy)
    async with AsyncApi(base_url=proxied.base_url, api_key=API_KEY, options=quick(), proxy=proxied.proxy_url) as api:
        assert await read(api) == b"data"
    assert len(proxied.seen("/graphql")) == len(proxied.seen()) == 1


async def test_empty_proxy_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    async with ScriptedServer() as server, AsyncApi(base_url=server.base_url, api_key=API_KEY, proxy="") as api:
        server.put("a.txt", b"data")
        assert await read(api) == b"data"


ONCE = {
    "a body that breaks": Stored(DATA).but(cut=1000, end="reset"),
    "a body that ends early": Answer(body=DATA, cut=1000, end="close"),
    "no answer": Answer(head=b"", end="close"),
    "no head": Answer(head=b"none\r\n\r\n", end="close"),
    "a refusal": refusal(503, "SlowDown"),
    "a redirect": Answer(status=307, headers={"Location": f"/store/elsewhere?X-Amz-Signature={SIGNATURE}"}),
}


@pytest.mark.usefixtures("waits")
@pytest.mark.each_transport("an injected transport", "a transport of httpx2")
@pytest.mark.parametrize("answer", ONCE.values(), ids=ONCE)
async def test_injected_transport_is_used_like_ours(server: ScriptedServer, tmp_path: Path, answer: Step) -> None:
    node = server.put("a.bin", DATA, answer, Stored(DATA))
    server.put("elsewhere", DATA)
    async with client(server) as api:
        path = await remote(api, node).fetch(tmp_path)
    assert path.read_bytes() == DATA
    assert len(server.seen()) == 2


@pytest.mark.usefixtures("waits")
@pytest.mark.each_transport("an injected transport", "a transport of httpx2")
async def test_errors_of_an_injected_transport_are_typed(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.bin", DATA, Answer(body=DATA, cut=1000, end="stall"))
    async with client(server, stall_seconds=0.3) as api:
        await error_of(TransferError, remote(api, node).fetch(tmp_path))
    nobody = quick(attempts=1)
    async with AsyncApi(
        base_url="http://127.0.0.1:1", api_key=API_KEY, options=nobody, **server.transport.inject()
    ) as api:
        error = await error_of(TransferError, api.run(RUN).file("a.bin"))
    assert isinstance(error.__cause__, httpx.ConnectError)


@pytest.mark.parametrize("kind", [Api, AsyncApi])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"proxy": "http://user:pa ss@proxy.test"},
            r"^proxy is not the URL of a proxy that can be used\. Expected is http://",
        ),
        ({"proxy": "ftp://proxy.test"}, "^proxy is not the URL of a proxy"),
        ({"proxy": httpx.URL("http://proxy.test")}, "^proxy must be a URL, as http://host:port, not of the type URL"),
        ({"ssl_context": True}, "^ssl_context must be an ssl.SSLContext for clients"),
        (
            {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
            "^ssl_context must be an ssl.SSLContext for clients",
        ),
        (
            {"proxy": "http://proxy.test", "http_client": httpx.AsyncClient()},
            "give them to the http_client or transport",
        ),
        ({"ssl_context": ssl.create_default_context(), "transport": httpx2.AsyncHTTPTransport()}, "give them to the"),
    ],
)
def test_unusable_arguments_are_refused_at_once(kind: type, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        kind(api_key="k" * 40, **arguments)
    assert "pa ss" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how long the way is")
async def test_round_trip_time_is_read_from_the_system(server: ScriptedServer) -> None:
    round_trips = list[float]()
    made = DrainingTransport(ssl.create_default_context)
    request = httpx.Request("GET", server.url("/store/a"), extensions={"on_round_trip": round_trips.append})
    for _ in range(2):  # the second one over the same connection
        await (await made.handle_async_request(request)).aread()
    await made.aclose()
    assert len(round_trips) == 1
    assert 0 < round_trips[0] < 0.01
