"""Checks the connection arguments of a client. Makes no request, and does not import httpx."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from wbfiles_async.errors import ConfigurationError

if TYPE_CHECKING:
    from wbfiles_async._http.proxies import ProxyRules

__all__ = ["check_connecting", "check_injected", "proxy_rules"]


def check_connecting(ssl_context: object, proxy: object, *, injected: bool) -> None:
    """Check the connection arguments.

    Raises:
        ConfigurationError: It cannot be used.
    """
    if injected and (ssl_context is not None or proxy is not None):
        raise ConfigurationError(
            "ssl_context and proxy are for our own transport; give them to the http_client or transport instead: "
            "httpx.AsyncClient(verify=ssl_context, proxy=proxy)."
        )
    if ssl_context is not None:
        import ssl

        if not isinstance(ssl_context, ssl.SSLContext) or ssl_context.protocol is ssl.PROTOCOL_TLS_SERVER:
            raise ConfigurationError(
                "ssl_context must be an ssl.SSLContext for clients, as ssl.create_default_context() makes it, not "
                f"{ssl_context!r}."
            )
    if proxy is not None and not isinstance(proxy, str):
        raise ConfigurationError(f"proxy must be a URL, as http://host:port, not of the type {type(proxy).__name__}.")


def proxy_rules(proxy: str) -> ProxyRules:
    """Return rules that use one proxy for everything, or none if its URL is empty.

    Raises:
        ConfigurationError: The URL cannot be used.
    """
    from wbfiles_async._http.proxies import ProxyRules, ProxyUrlError

    try:
        return ProxyRules.of_one(proxy)
    except ProxyUrlError as error:
        raise ConfigurationError(f"{error}.") from None


def check_injected(client: object, transport: object) -> None:
    """Check that an injected object is of the package httpx or httpx2.

    Raises:
        ConfigurationError: It is not; a client of another package would fail later, with confusing errors.
    """
    import httpx

    # httpx2 has been imported if one of its objects was passed.
    packages = [httpx, *filter(None, [sys.modules.get("httpx2")])]
    for name, given, kind in (("http_client", client, "AsyncClient"), ("transport", transport, "AsyncBaseTransport")):
        if given is not None and not isinstance(given, tuple(getattr(package, kind) for package in packages)):
            theirs = type(given)
            raise ConfigurationError(
                f"{name} must be an httpx.{kind}, of the package httpx or httpx2, not {theirs.__module__}."
                f"{theirs.__qualname__}."
            )
