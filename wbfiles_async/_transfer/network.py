"""What the environment says of proxies and certificates, and which addresses are never spoken to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import attrs

from wbfiles_async._protocol.addresses import reach_of
from wbfiles_async.errors import ConfigurationError


@attrs.frozen
class Proxies:
    """The proxies of the environment, read once (``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``)."""

    by_scheme: Mapping[str, str] = attrs.field(factory=getproxies, repr=False)

    def choose(self, scheme: str, host: str) -> str | None:
        """Choose the proxy for a URL. This machine is always spoken to directly, as Go's clients do.

        Args:
            scheme: ``http`` or ``https``.
            host: Host name, with ``:port`` where the URL has one.

        Returns:
            The proxy's URL, or ``None`` to connect directly.

        Raises:
            ConfigurationError: The proxy is of a kind that cannot be used.
        """
        proxy = self.by_scheme.get(scheme) or self.by_scheme.get("all")
        if not proxy or _is_this_machine(host) or proxy_bypass(host):
            return None
        if "://" not in proxy:
            proxy = "http://" + proxy
        kind = proxy.partition("://")[0].lower()
        if kind not in ("http", "https"):
            raise ConfigurationError(
                f"The environment names a {kind} proxy for {scheme}://{host}, but only http and https proxies are "
                "supported. Change HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or list the host in NO_PROXY."
            )
        return proxy


def _is_this_machine(host: str) -> bool:
    name = host.rpartition(":")[0].strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def create_ssl_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Create the context that checks servers' certificates. Reads files; takes tens of milliseconds.

    ``SSL_CERT_FILE``, ``SSL_CERT_DIR`` and ``REQUESTS_CA_BUNDLE`` replace the bundled authorities, as they do
    in curl and requests; ``REQUESTS_CA_BUNDLE`` may name a file or a folder.

    Raises:
        ConfigurationError: A variable names something that cannot be read as certificates.
    """
    bundle = environ.get("REQUESTS_CA_BUNDLE") or None
    cafile = environ.get("SSL_CERT_FILE") or None
    capath = environ.get("SSL_CERT_DIR") or None
    if not cafile and not capath and bundle:
        cafile, capath = (None, bundle) if Path(bundle).is_dir() else (bundle, None)
    if not cafile and not capath:
        import certifi

        cafile = certifi.where()
    try:
        return ssl.create_default_context(cafile=cafile, capath=capath)
    except OSError as error:
        raise ConfigurationError(
            f"The certificate authorities in {cafile or capath} cannot be read ({error}). Correct SSL_CERT_FILE, "
            "SSL_CERT_DIR or REQUESTS_CA_BUNDLE."
        ) from error


class ForbiddenAddressError(OSError):
    """A name led to an address that is not spoken to. The text names none, so that of several each says the same."""


_private_peers: ContextVar[bool] = ContextVar("private_peers", default=False)


@contextmanager
def private_peers(*, allowed: bool) -> Iterator[None]:
    """Say whether sockets that are opened inside, in this task and those it starts, may go to private addresses."""
    token = _private_peers.set(allowed)
    try:
        yield
    finally:
        _private_peers.reset(token)


def open_socket(address_info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """Open a socket for an address a name resolved to; the address counts, not the name.

    Raises:
        ForbiddenAddressError: The address is link-local or one of a cloud's metadata; or it is private (this
            machine's included), and `private_peers` does not allow that here.
    """
    family, kind, protocol, _, endpoint = address_info
    match reach_of(str(endpoint[0])):
        case "forbidden":
            raise ForbiddenAddressError(
                "its address is link-local or of a cloud's metadata, and no file is ever fetched from there"
            )
        case "private" if not _private_peers.get():
            raise ForbiddenAddressError(
                "its address is of a private network or of this machine, where the configured server's is public. "
                "If your store does lie in your own network, use TransferOptions(private_stores=True)"
            )
    return socket.socket(family, kind, protocol)


@attrs.define(eq=False)
class PrivateStores:
    """Whether stores may lie at private addresses: where the configured server does, or where it was said so.

    Attributes:
        allowed: The answer; ``None`` while it is not known.
    """

    allowed: bool | None
    _host: str = ""
    _port: int = 0
    _lock: anyio.Lock = attrs.field(factory=anyio.Lock, init=False)

    @classmethod
    def of_server(cls, base_url: str, proxies: Proxies) -> Self:
        """Decide by where the server lies, as soon as somebody asks.

        A server behind a proxy counts as public: its name may mean nothing here.
        """
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            return cls(reach_of(host) == "private")
        except ValueError:
            pass
        return cls(False if proxies.choose(parts.scheme, f"{host}:{port}") else None, host, port)

    async def known(self) -> bool:
        """Give the answer; looks up the server's name once."""
        if self.allowed is None:
            async with self._lock:
                if self.allowed is None:
                    self.allowed = await self._is_server_private()
        return bool(self.allowed)

    async def _is_server_private(self) -> bool | None:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return None  # for this time
        return any(reach_of(str(endpoint[0])) == "private" for *_, endpoint in found)
