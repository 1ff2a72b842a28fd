"""Errors of requests that httpx does not have."""

from __future__ import annotations

import httpx

__all__ = [
    "AddressError",
    "CertificateError",
    "ClientClosedError",
    "EnvironmentInvalidError",
    "NoThreadError",
    "ProxyRefusedError",
    "StaleConnectionError",
]


class ClientClosedError(httpx.TransportError):
    """The client was closed."""


class EnvironmentInvalidError(httpx.TransportError):
    """The environment names a proxy or certificate authorities that cannot be used."""


class NoThreadError(httpx.TransportError):
    """No further thread can be started."""


class CertificateError(httpx.ConnectError):
    """The server's certificate is not trusted; a retry would not help."""


class AddressError(httpx.ConnectError):
    """The host has an address that may not be connected to."""


class ProxyRefusedError(httpx.ProxyError):
    """The proxy responded and refused to connect.

    Attributes:
        status: The HTTP status of its response.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class StaleConnectionError(Exception):
    """The server closed an idle connection before it read the request. Send the request again on a new one."""
