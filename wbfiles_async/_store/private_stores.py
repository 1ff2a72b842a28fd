"""Whether stores may have private addresses."""

from __future__ import annotations

import asyncio
import socket
from typing import Self
from urllib.parse import urlsplit

import anyio
import attrs

from wbfiles_async._http.address_policy import reach_of, reach_of_host

__all__ = ["PrivateStores"]


@attrs.define(eq=False)
class PrivateStores:
    """Whether stores may have private addresses: if the configured server has one, or if allowed.

    Attributes:
        allowed: The decision; ``None`` until known.
    """

    allowed: bool | None
    _host: str = ""
    _port: int = 0
    _lock: anyio.Lock = attrs.field(factory=anyio.Lock, init=False)

    @classmethod
    def of_server(cls, base_url: str, *, behind_proxy: bool) -> Self:
        """Decide by the server's address, at first use.

        Args:
            base_url: The server.
            behind_proxy: Whether it is reached through a proxy. Then it counts as public, since its name may not
                resolve here.
        """
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        reach = reach_of_host(host)
        if reach is not None:
            return cls(reach == "private")
        return cls(False if behind_proxy else None, host, port)

    async def known(self) -> bool:
        """Return the decision; resolves the server's name once."""
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
