"""What the environment says of proxies and certificates, and which addresses are never spoken to."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import attrs

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
    """A name led to a link-local address, where clouds keep their credentials."""


def open_socket(address_info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """Open a socket for an address a name resolved to; the address counts, not the name.

    Raises:
        ForbiddenAddressError: The address is link-local (169.254.0.0/16, fe80::/10, also as IPv4-mapped IPv6).
    """
    family, kind, protocol, _, endpoint = address_info
    address = ipaddress.ip_address(str(endpoint[0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_link_local:
        raise ForbiddenAddressError(f"{address} is a link-local address; no file is ever fetched from one")
    return socket.socket(family, kind, protocol)
