"""Resuming TLS sessions: only with the same server, and not forever."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trustme
import truststore
from transports import authority

from wbfiles_async._http import tls_sessions
from wbfiles_async._http.errors import CertificateError
from wbfiles_async._http.transport import DrainingTransport

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def server_context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, ca: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (ca or authority()).issue_cert("localhost", "127.0.0.1").configure_cert(context)
    context.minimum_version = context.maximum_version = version
    return context


class Server:
    """Answers one request per connection, and records whether its session was resumed."""

    def __init__(self) -> None:
        self.resumed: list[bool] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext, port: int = 0) -> AsyncIterator[str]:
        """Listen, and yield the URL."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", port, ssl=context)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            yield f"https://localhost:{self.port}/"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.resumed.append(writer.get_extra_info("ssl_object").session_reused)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def transport(context: ssl.SSLContext | None = None) -> AsyncIterator[DrainingTransport]:
    if context is None:
        context = ssl.create_default_context()
    authority().configure_trust(context)
    made = DrainingTransport(lambda: context)
    try:
        yield made
    finally:
        await made.aclose()


async def get(made: DrainingTransport, url: str) -> None:
    response = await made.handle_async_request(httpx.Request("GET", url))
    assert await response.aread() == b"ok"
    await response.aclose()


@pytest.mark.parametrize("version", VERSIONS)
async def test_later_connections_resume_the_session(version: ssl.TLSVersion) -> None:
    server = Server()
    async with server.listening(server_context(version)) as url, transport() as ours:
        for _ in range(4):
            await get(ours, url)
    assert server.resumed == [False, True, True, True]


@pytest.mark.parametrize("version", VERSIONS)
async def test_concurrent_connections_resume_the_same_session(version: ssl.TLSVersion) -> None:
    server = Server()
    async with server.listening(server_context(version)) as url, transport() as ours:
        await get(ours, url)
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(get(ours, url))
    assert server.resumed == [False] + 8 * [True]


@pytest.mark.parametrize("version", VERSIONS)
async def test_session_is_offered_to_no_other_server(version: ssl.TLSVersion) -> None:
    """Not even to one that would accept it, since it shares the first one's keys."""
    one, two, context = Server(), Server(), server_context(version)
    async with one.listening(context) as url, two.listening(context) as other, transport() as ours:
        await get(ours, url)
        await get(ours, other)
        await get(ours, url.replace("localhost", "127.0.0.1"))
    assert (one.resumed, two.resumed) == ([False, False], [False])


async def test_session_is_offered_by_no_other_client() -> None:
    server = Server()
    async with server.listening(server_context()) as url, transport() as ours, transport() as other:
        await get(ours, url)
        await get(other, url)
        await get(ours, url)
    assert server.resumed == [False, False, True]


async def test_forgotten_session_starts_a_new_one() -> None:
    server = Server()
    async with transport() as ours:
        async with server.listening(server_context()) as url:
            await get(ours, url)
        async with server.listening(server_context(), server.port) as url:
            await get(ours, url)
            await get(ours, url)
    assert server.resumed == [False, False, True]


async def test_changed_certificate_is_verified() -> None:
    """An impostor has none of the server's sessions."""
    server = Server()
    async with transport() as ours:
        async with server.listening(server_context()) as url:
            await get(ours, url)
        async with server.listening(server_context(ca=trustme.CA()), server.port) as url:
            with pytest.raises(CertificateError):
                await get(ours, url)


async def test_certificate_is_verified_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the session was resumed, and a new one issued."""
    server = Server()
    async with server.listening(server_context()) as url, transport() as ours:
        moments = [0.0]
        monkeypatch.setattr(ours._connector._sessions, "now", lambda: moments[-1])
        for moment in (0, 1, tls_sessions.KEPT_SECONDS - 1, tls_sessions.KEPT_SECONDS + 1, 5000):
            moments.append(moment)
            await get(ours, url)
    assert server.resumed == [False, True, True, False, True]


async def test_self_verifying_contexts_resume_nothing() -> None:
    """They do so after each handshake, with what the server sent in it."""
    server = Server()
    async with (
        server.listening(server_context()) as url,
        transport(truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as ours,
    ):
        await get(ours, url)
        await get(ours, url)
    assert server.resumed == [False, False]


async def test_few_sessions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_sessions, "MOST_SERVERS", 1)
    one, two, context = Server(), Server(), server_context()
    async with one.listening(context) as url, two.listening(context) as other, transport() as ours:
        await get(ours, url)
        await get(ours, other)
        await get(ours, url)
        await get(ours, url)
    assert (one.resumed, two.resumed) == ([False, False, True], [False])
