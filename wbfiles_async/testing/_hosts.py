"""The host names that the server accepts. Performs no I/O.

A web page can make its own host name refer to this machine (DNS rebinding), and would then have the same origin as the
server. IP addresses, and names that nobody else controls, cannot be used for that.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

import attrs
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from wbfiles_async.testing._answers import api_error


def _normalized(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower().rstrip(".") for name in names) | {"localhost"}


@attrs.frozen
class Hosts:
    """The host names that requests may use, besides every IP address.

    Attributes:
        names: Host names; always include ``localhost``.
    """

    names: frozenset[str] = attrs.field(converter=_normalized)

    def allow(self, header: str | None) -> bool:
        """Return whether a ``Host`` header is accepted. Requests without one are not from browsers."""
        if header is None:
            return True
        try:
            name = (urlsplit(f"//{header}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self.names or name.endswith(".localhost") or _is_address(name)

    def middleware(self) -> Middleware:
        """Return a middleware that refuses requests for other names."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.allow(request.headers.get(hdrs.HOST)):
                return await handler(request)
            return api_error(
                421, "this server is not known by that name; LocalServer(allowed_hosts=[...]) lists further ones"
            )

        return check


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
