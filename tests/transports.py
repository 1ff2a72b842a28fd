"""The ways a client's requests can take: ours, ours over TLS, by a proxy, and what users inject.

The tables of faults run over each of them, since each must answer alike: mark a test with ``each_transport``, or with
``ours_and_injected`` where three of them do. CONTRIBUTING.md lists in what they differ, and why.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import httpx2
import pytest
import trustme

each_transport = pytest.mark.each_transport
ours_and_injected = pytest.mark.each_transport("ours", "an injected client", "a client of httpx2")


@functools.cache
def authority() -> trustme.CA:
    """Return the certificate authority of all tests' servers."""
    return trustme.CA()


@functools.cache
def trusting() -> ssl.SSLContext:
    """Return what injected clients check certificates with; to make one takes longer than most tests."""
    return ssl.create_default_context()


@attrs.frozen(kw_only=True)
class Transport:
    """One way of sending requests.

    Attributes:
        name: What it is called.
        tls: Whether the server speaks TLS.
        proxied: Whether the server is reached by a proxy, which it plays itself.
        no_proxy: The value of ``NO_PROXY``.
        is_common: Whether every marked test runs over it.
        inject: Returns the arguments of ``AsyncApi`` that inject something.
    """

    name: str
    tls: bool = False
    proxied: bool = False
    no_proxy: str = ""
    is_common: bool = True
    inject: Callable[[], dict[str, Any]] = dict

    def prepare(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        """Set up the environment."""
        if self.tls:
            bundle = folder / "authorities.pem"
            authority().cert_pem.write_to_path(str(bundle))
            patch.setenv("SSL_CERT_FILE", str(bundle))
        if self.no_proxy:
            patch.setenv("NO_PROXY", self.no_proxy)

    def server_context(self) -> ssl.SSLContext | None:
        """Return what a server speaks TLS with, if it does."""
        if not self.tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority().issue_cert("localhost").configure_cert(context)
        return context


OURS = Transport(name="ours")
TRANSPORTS = (
    OURS,
    Transport(name="ours over TLS", tls=True),
    Transport(name="by a proxy", proxied=True),
    Transport(name="NO_PROXY set", no_proxy="elsewhere.example,10.0.0.0/8"),
    Transport(name="an injected transport", inject=lambda: {"transport": httpx.AsyncHTTPTransport(verify=trusting())}),
    Transport(name="an injected client", inject=lambda: {"http_client": httpx.AsyncClient(verify=trusting())}),
    Transport(name="a client of httpx2", inject=lambda: {"http_client": httpx2.AsyncClient(verify=trusting())}),
    # Translated by a part of what translates for its clients: only where tests name it.
    Transport(
        name="a transport of httpx2",
        is_common=False,
        inject=lambda: {"transport": httpx2.AsyncHTTPTransport(verify=trusting())},
    ),
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "each_transport(*names): runs over each way of requests, or over these")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have the marked tests run over each transport."""
    mark = metafunc.definition.get_closest_marker("each_transport")
    if mark and "transport" in metafunc.fixturenames:
        chosen = [each for each in TRANSPORTS if (each.name in mark.args if mark.args else each.is_common)]
        metafunc.parametrize("transport", chosen, indirect=True, ids=lambda transport: transport.name)


@pytest.fixture
def transport(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Transport:
    """The way that the clients of this test take; ours, if the test is not marked."""
    chosen: Transport = getattr(request, "param", OURS)
    chosen.prepare(monkeypatch, tmp_path_factory.mktemp("transport") if chosen.tls else Path())
    return chosen
