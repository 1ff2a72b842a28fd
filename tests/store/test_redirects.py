"""Redirects from the API to a store: each outcome is recorded at the origin that it came from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scripted_server import (
    RUN,
    Answer,
    ScriptedServer,
    Seen,
    Stored,
    client,
    read_parts,
    redirect,
    refusal,
    remote,
)
from scripted_server import server as server
from scripted_server import waits as waits
from transports import Transport, each_transport

from wbfiles_async import AsyncApi

pytestmark = [pytest.mark.usefixtures("waits"), each_transport]

DATA, PART = bytes(range(256)) * 8192, 512 << 10


@pytest.fixture
async def store(transport: Transport) -> AsyncIterator[ScriptedServer]:
    """The store to which the API redirects."""
    async with ScriptedServer(transport.server_context()) as running:
        yield running


def put(server: ScriptedServer, store: ScriptedServer, name: str = "a", data: bytes = DATA) -> dict[str, object]:
    """List a file whose URL at the API redirects to the store."""
    store.put(name, data)
    server.on(f"/files/{name}", redirect(store.url(f"/store/{name}")))
    return server.put(name, data, url=f"{server.base_url}/files/{name}", directUrl=None)


def recorded(api: AsyncApi, at: ScriptedServer) -> set[str]:
    """Return the kinds of faults that were recorded at an origin."""
    limits = api._gateway.session().limits.of(at.base_url)
    found = {
        "throttled": limits.limit.resumes_at > 0,
        "failed": bool(limits._last_failure),
        "unranged": not limits.ranged,
    }
    return {kind for kind, is_recorded in found.items() if is_recorded}


FAULTS = {
    "throttled": (refusal(503, "SlowDown"), {"throttled", "failed"}),
    "failed": (refusal(500, "InternalError"), {"failed"}),
    "truncated": (Stored(DATA).but(cut=1000, end="reset"), {"failed"}),
    "no ranges": (Stored(DATA, ranges=False), {"unranged"}),
}


@pytest.mark.parametrize(("fault", "kinds"), FAULTS.values(), ids=FAULTS)
async def test_fault_of_the_store_is_not_recorded_at_the_api(
    server: ScriptedServer, store: ScriptedServer, tmp_path: Path, fault: Answer | Stored, kinds: set[str]
) -> None:
    node = put(server, store)
    store.on("/store/a", fault, fault if isinstance(fault, Stored) else Stored(DATA))
    async with client(server, part_size=PART, connections=1, private_stores=True) as api:
        path = await remote(api, node).fetch(tmp_path)
        assert (recorded(api, server), recorded(api, store)) == (set(), kinds)
    assert path.read_bytes() == DATA


async def test_fault_of_the_store_while_another_part_is_at_the_api(
    server: ScriptedServer, store: ScriptedServer
) -> None:
    node = put(server, store)
    second_is_at_api, first_has_failed = asyncio.Event(), asyncio.Event()
    to_store, stored = redirect(store.url("/store/a")), Stored(DATA)

    async def hold_second(seen: Seen) -> Answer:
        second_is_at_api.set()
        await first_has_failed.wait()
        return to_store

    def redirect_again(seen: Seen) -> Answer:
        first_has_failed.set()
        return to_store

    server.on("/files/a", to_store, hold_second, redirect_again)
    store.on("/store/a", lambda seen: stored(seen).but(gate=second_is_at_api, gate_at=10, cut=20, end="reset"), stored)
    async with client(server, private_stores=True) as api:
        assert b"".join(await read_parts(api, node, 2)) == DATA
        assert (recorded(api, server), recorded(api, store)) == (set(), {"failed"})
    assert len(server.seen("/files/a")) == 3


@pytest.mark.parametrize("data", [b"data", DATA], ids=["small", "in parts"])
async def test_connections_are_reused_across_redirects(
    server: ScriptedServer, store: ScriptedServer, tmp_path: Path, data: bytes
) -> None:
    names = [f"{n}" for n in range(6)]
    for name in names:
        put(server, store, name, data)
    async with client(server, part_size=PART, connections=1, private_stores=True) as api:
        report = await api.run(RUN).download(tmp_path)
    assert report.downloaded == len(names)
    for at, path in ((server, "/files/"), (store, "/store/")):
        assert {seen.path for seen in at.seen(path)} == {path + name for name in names}
        assert (path, len({seen.connection for seen in at.requests})) == (path, 1)
