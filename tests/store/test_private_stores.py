"""Private addresses are allowed only if the configured server has one; cloud metadata never."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pytest
from scripted_server import (
    API_KEY,
    SIGNATURE,
    Answer,
    ScriptedServer,
    client,
    error_of,
    quick,
    redirect,
    remote,
    with_clock,
)
from scripted_server import server as server
from scripted_server import waits as waits
from transports import each_transport

from wbfiles_async import AsyncApi, TransferError

pytestmark = pytest.mark.usefixtures("waits")

DATA = b"data"
PUBLIC_ADDRESS = "93.184.215.14"


class Names:
    """Answers name lookups, and records them."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self.looked_up: list[str] = []

    def look_up(self, host: object, port: int, *_: object, **__: object) -> list[object]:
        self.looked_up.append(str(host))
        address = self.addresses.get(str(host))
        if address is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names({"public.example": PUBLIC_ADDRESS, "inner.example": "10.1.2.3", "store.example": "127.0.0.1"})
    monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
    return names


def at(base_url: str, **options: bool) -> AsyncApi:
    return with_clock(AsyncApi(base_url=base_url, api_key=API_KEY, options=quick(insecure_stores=True, **options)))


@pytest.mark.fault(65)
@pytest.mark.parametrize("host", ["127.0.0.1", "store.example"])
async def test_public_server_urls_cannot_reach_private_addresses(
    server: ScriptedServer, names: Names, waits: list[float], host: str
) -> None:
    node = server.put("a", DATA, directUrl=f"http://{host}:{server.port}/store/a?sig={SIGNATURE}")
    async with at("https://public.example") as api:
        await error_of(TransferError, remote(api, node).read_bytes())
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert f"no request can be sent to {host}" in str(error)
    assert "private_stores=True" in str(error)
    assert server.requests == []
    assert waits == []
    assert names.looked_up.count("public.example") == 1


async def test_several_private_addresses_name_the_option(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    def both(host: object, port: int, *_: object, **__: object) -> list[object]:
        if host == "public.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC_ADDRESS, port))]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    node = server.put("a", DATA, directUrl=f"http://both.example:{server.port}/store/a")
    async with at("https://public.example") as api:
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert "private_stores=True" in str(error)
    assert waits == []


@pytest.mark.parametrize("base_url", ["https://inner.example", "http://10.0.0.1:8080", "http://[fd00::1]"])
async def test_private_server_may_use_private_stores(server: ScriptedServer, names: Names, base_url: str) -> None:
    node = server.put("a", DATA)
    async with at(base_url) as api:
        assert await remote(api, node).read_bytes() == DATA


async def test_option_allows_private_stores(server: ScriptedServer, names: Names) -> None:
    node = server.put("a", DATA)
    async with at("https://public.example", private_stores=True) as api:
        assert await remote(api, node).read_bytes() == DATA
    assert names.looked_up == []


@pytest.mark.fault(65)
async def test_cloud_metadata_is_never_reachable(server: ScriptedServer, names: Names, waits: list[float]) -> None:
    names.addresses["metadata.example"] = "fd00:ec2::254"
    node = server.put("a", DATA, directUrl="http://metadata.example/latest/meta-data/")
    async with client(server, private_stores=True) as api:
        error = await error_of(TransferError, remote(api, node).read_bytes())
    assert "metadata" in str(error)
    assert waits == []


@each_transport
@pytest.mark.fault(61, 65)
@pytest.mark.parametrize(
    "target",
    ["http://10.0.0.1/x", "http://[::1]:{port}/store/b", "http://127.0.0.2:{port}/store/b", "http://192.168.0.1/"],
)
async def test_redirect_cannot_reach_private_addresses(server: ScriptedServer, waits: list[float], target: str) -> None:
    node = server.put("a", DATA, redirect(target.format(port=server.port)))
    server.on("/files/a", redirect(target.format(port=server.port)))
    async with client(server) as api:
        stores = api._gateway.session().reader.requester.private_stores
        stores.allowed = False  # as if the server's address were a public one
        for urls in ({}, {"directUrl": None, "url": f"{server.base_url}/files/a"}):
            error = await error_of(TransferError, remote(api, node | urls).read_bytes())
            assert "private_stores=True" in str(error)
        stores.allowed = True
    assert [seen.path for seen in server.requests] == ["/store/a", "/files/a"]
    assert waits == []


async def test_servers_own_host_is_always_allowed(server: ScriptedServer) -> None:
    """A name that resolved differently a moment ago is still the configured server."""
    server.on("/files/a", Answer(body=DATA))
    node = server.put("a", DATA, directUrl=None, url=f"{server.base_url}/files/a")
    async with client(server) as api:
        stores = api._gateway.session().reader.requester.private_stores
        stores.allowed = False
        assert await remote(api, node).read_bytes() == DATA
        stores.allowed = True


async def test_private_proxy_is_allowed(server: ScriptedServer, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.base_url)
    server.on("http://somewhere.example/a", Answer(body=DATA))
    node = server.put("a", DATA, directUrl="http://somewhere.example/a")
    async with at("http://public.example") as api:
        assert await remote(api, node).read_bytes() == DATA
    assert names.looked_up == []  # behind a proxy names may not resolve here


async def test_unresolved_server_name_is_resolved_again(server: ScriptedServer, names: Names) -> None:
    node = server.put("a", DATA)
    async with at("https://late.example") as api:
        await error_of(TransferError, remote(api, node).read_bytes())
        names.addresses["late.example"] = "10.0.0.1"
        assert await remote(api, node).read_bytes() == DATA
