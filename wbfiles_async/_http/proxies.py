"""Chooses the proxy for an origin from environment variables.

Performs no I/O: the variables are arguments. They are parsed as by curl and Go's ``net/http``; differences between
the two are noted.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, Self, cast
from urllib.parse import quote, unquote_to_bytes, urlsplit

import attrs

from wbfiles_async._http.address_policy import literal_address

__all__ = ["Proxy", "ProxyRules", "ProxyUrlError"]

ProxyScheme = Literal["http", "https", "socks5", "socks5h"]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Source: Go's net/http. curl takes 1080 for http proxies too.
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
# `urlsplit` silently drops some of them.
_NOT_IN_A_URL: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_HOST_AND_PORT: Final = re.compile(r"(\[[^\[\]]+\]|[^\[\]:/]+)(?::([1-9][0-9]{0,4})?)?")


class ProxyUrlError(ValueError):
    """A variable's value cannot be used as a proxy's URL. The message names the variable, never the value."""


@attrs.frozen
class Proxy:
    """A proxy to connect through.

    Attributes:
        scheme: Its protocol.
        host: Its name or address, without brackets.
        port: Its port.
        authorization: The value of ``Proxy-Authorization``; ``None`` if the URL has no user.
        url: The whole URL, user and password included.
    """

    scheme: ProxyScheme
    host: str
    port: int
    authorization: str | None = attrs.field(repr=False)
    url: str = attrs.field(repr=False)

    @property
    def shown(self) -> str:
        """The URL without user and password, for messages and logs."""
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"

    def __str__(self) -> str:
        return self.shown


@attrs.frozen
class _Setting:
    """A variable with a proxy. Its value may contain a password, so it is never shown."""

    variable: str
    value: str = attrs.field(repr=False)

    def proxy(self) -> Proxy | None:
        """Return the proxy; ``None`` if the value is no URL of one."""
        # Like Go: "proxy.example.com:3128" is a URL that only lacks its scheme.
        text = self.value if _SCHEME.match(self.value) else f"http://{self.value}"
        if _NOT_IN_A_URL.search(text):
            return None
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            return None
        if parts.scheme not in _DEFAULT_PORTS or not host or port == 0:
            return None
        # No host contains one of these; it is a password with an unencoded character.
        if "@" in parts.path + parts.query + parts.fragment or "%" in host:
            return None
        host, port = _ascii(host), port or _DEFAULT_PORTS[parts.scheme]
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        login = unquote_to_bytes(user), unquote_to_bytes(password)
        has_login = any(login)
        before = ":".join(quote(text, safe="") for text in login) + "@" if has_login else ""
        return Proxy(
            scheme=cast(ProxyScheme, parts.scheme),
            host=host,
            port=port,
            authorization="Basic " + base64.b64encode(b":".join(login)).decode() if has_login else None,
            url=f"{parts.scheme}://{before}{_bracketed(host)}:{port}",
        )

    def error(self) -> ProxyUrlError:
        """Return the error with what is wrong and what is expected."""
        return ProxyUrlError(
            f"{self.variable} is not the URL of a proxy that can be used. Expected is http://host:port or "
            "http://user:password@host:port, with special characters of user and password percent-encoded (@ as %40, "
            "/ as %2F); instead of http also https, socks5 or socks5h"
        )


@attrs.frozen
class _NoProxyEntry:
    """An entry of ``NO_PROXY``: a network or a domain, on one port or on all.

    Attributes:
        network: The addresses; ``None`` for a domain.
        domain: In lower case, without leading and trailing dots.
        is_itself: Whether the domain itself is included, not only the names below it.
        port: ``None`` for all.
    """

    network: _Network | None = None
    domain: str = ""
    is_itself: bool = True
    port: int | None = None

    def covers(self, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address is not None and address in self.network
        if address is not None:
            return False
        return host.endswith(f".{self.domain}") or (self.is_itself and host == self.domain)


_MOST_ORIGINS = 1000
"""Maximum origins in the cache; there are usually a handful, but servers choose where redirects lead."""


@attrs.frozen
class ProxyRules:
    """The proxy rules: which proxy to use for an origin."""

    _by_scheme: Mapping[str, _Setting]
    _exceptions: tuple[_NoProxyEntry, ...]
    _is_off: bool = False
    _is_excepted: Callable[[str], bool] | None = attrs.field(default=None, alias="is_excepted")
    _holds_for_all: bool = attrs.field(default=False, alias="holds_for_all")
    _chosen: dict[tuple[str, str, int], Proxy | None] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, is_excepted: Callable[[str], bool] | None = None) -> Self:
        """Read ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in lower case first.

        A value is validated only when `choose` needs it. ``HTTP_PROXY`` is ignored in CGI programs, where
        the sender of a request can set it (by a header ``Proxy``); ``http_proxy`` is not.

        ``NO_PROXY`` lists hosts, separated by commas or blanks:

        - ``*``: all;
        - ``example.com``: the host and all names below it; ``.example.com``: the same (as curl and Python do; in Go
          only the names below it); ``*.example.com``: only the names below it (as Go does);
        - ``192.168.1.1``, ``fd00::1`` or ``[fd00::1]``, ``10.0.0.0/8``, ``fd00::/8``: URLs whose host is such an
          address. Names are not resolved for it;
        - each but networks with ``:port``.

        Entries that are none of these are ignored, as curl and Go do.

        Args:
            environ: The variables.
            is_excepted: Hosts that are connected to directly besides ``NO_PROXY``'s.
        """
        variables = dict(environ)  # for Windows, whose environment is case-insensitive
        found = {}
        for scheme in ("http", "https", "all"):
            lower, upper = f"{scheme}_proxy", f"{scheme}_proxy".upper()
            names = [lower] if scheme == "http" and variables.get("REQUEST_METHOD") else [lower, upper]
            settings = [_Setting(name, variables[name].strip()) for name in names if variables.get(name, "").strip()]
            if settings:
                found[scheme] = settings[0]
        listed = re.split(r"[,\s]+", variables.get("no_proxy") or variables.get("NO_PROXY") or "")
        exceptions = tuple(entry for text in listed if (entry := _no_proxy_entry(text)) is not None)
        return cls(found, exceptions, "*" in listed, is_excepted=is_excepted)

    @classmethod
    def of_one(cls, url: str) -> Self:
        """Return rules that use one proxy for every origin, including this machine.

        Args:
            url: The proxy's URL; empty to always connect directly.

        Raises:
            ProxyUrlError: The URL cannot be used.
        """
        if not url:
            return cls({}, ())
        setting = _Setting("proxy", url.strip())
        if setting.proxy() is None:
            raise setting.error()
        return cls({"all": setting}, (), holds_for_all=True)

    @property
    def is_empty(self) -> bool:
        """Whether there is no proxy, so that all connections are direct."""
        return not self._by_scheme

    def choose(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Choose the proxy for an origin. The environment's rules connect to this machine directly, as in Go.

        Args:
            scheme: ``http`` or ``https``.
            host: Name or address, with or without brackets.
            port: Port.

        Returns:
            ``None`` to connect directly.

        Raises:
            ProxyUrlError: The proxy's URL cannot be used.
        """
        if self._is_excepted is not None:  # the system's own settings may change
            return self._choose(scheme, host, port)
        origin = (scheme, host, port)
        if origin not in self._chosen:  # takes a tenth of a millisecond
            if len(self._chosen) >= _MOST_ORIGINS:
                self._chosen.clear()
            self._chosen[origin] = self._choose(scheme, host, port)
        return self._chosen[origin]

    def _choose(self, scheme: str, host: str, port: int) -> Proxy | None:
        setting = self._by_scheme.get(scheme.lower()) or self._by_scheme.get("all")
        if setting is None or self._is_off or self._is_direct(host, port):
            return None
        proxy = setting.proxy()
        if proxy is None:
            raise ProxyUrlError(f"{setting.error()}. Correct the variable, or list the host in NO_PROXY.")
        return proxy

    def _is_direct(self, host: str, port: int) -> bool:
        if self._holds_for_all:
            return False
        literal = literal_address(host)
        address = _unmapped(ipaddress.ip_address(literal)) if literal else None
        name = _ascii(host.lower().removesuffix("."))
        if name == "localhost" or name.endswith(".localhost") or (address is not None and address.is_loopback):
            return True
        if any(entry.covers(name, address, port) for entry in self._exceptions):
            return True
        return self._is_excepted is not None and self._is_excepted(name)


def _no_proxy_entry(text: str) -> _NoProxyEntry | None:
    """Parse an entry of ``NO_PROXY``; ``None`` if it is invalid."""
    if (network := _network(text)) is not None:
        return _NoProxyEntry(network)
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        return None
    host, port = match[1].strip("[]"), int(match[2]) if match[2] else None
    if (network := _network(host.removesuffix("."))) is not None:
        return _NoProxyEntry(network, port=port)
    domain = host.lower().removeprefix("*").strip(".")
    return _NoProxyEntry(domain=_ascii(domain), is_itself=not host.startswith("*"), port=port) if domain else None


def _network(text: str) -> _Network | None:
    address, slash, length = text.partition("/")
    try:
        network = ipaddress.ip_network(address.partition("%")[0] + slash + length, strict=False)
    except ValueError:
        return None
    if network.version == 6 and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _unmapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _ascii(host: str) -> str:
    """Return the IDNA form of an international name; unchanged if it has none."""
    if host.isascii():
        return host
    import httpx  # slow to import, and needed for few names; the same codec encodes the names of connections

    try:
        return httpx.URL(scheme="http", host=host).raw_host.decode("ascii")
    except httpx.InvalidURL:
        return host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
