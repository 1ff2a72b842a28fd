"""Connections that lie between two exchanges, until they are wanted again or have lain for too long."""

from __future__ import annotations

import asyncio

from wbfiles_async._transfer.connection import Connection
from wbfiles_async._transfer.transport import IDLE_SECONDS


class KeptConnections:
    """Kept by origin; the one that was used last is used next.

    Nobody watches them: whether the other side has closed one is looked at when it is wanted.
    """

    def __init__(self) -> None:
        self._by_origin: dict[str, list[Connection]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._closed = False

    def has(self, where: str) -> bool:
        """Tell whether one to an origin is here that can be used."""
        if (connection := self.take(where)) is None:
            return False
        self._by_origin[where].append(connection)
        return True

    def take(self, where: str) -> Connection | None:
        """Take one to an origin that can be used."""
        kept = self._by_origin.get(where)
        while kept:
            connection = kept.pop()
            if connection.is_silent:
                return connection
            connection.close()
        return None

    def keep(self, where: str, connection: Connection) -> None:
        """Keep a free connection to an origin."""
        if self._closed:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._by_origin.setdefault(where, []).append(connection)
        if self._alarm is None:
            self._alarm = loop.call_later(IDLE_SECONDS, self._close_old)

    def close(self) -> None:
        """Close those that are kept, and from now on each that should be."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._close_until(float("inf"))

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        self._close_until(loop.time() - IDLE_SECONDS)
        oldest = min((kept[0].idle_since for kept in self._by_origin.values()), default=None)
        self._alarm = None if oldest is None else loop.call_at(oldest + IDLE_SECONDS, self._close_old)

    def _close_until(self, moment: float) -> None:
        """Close those that have lain since then or longer."""
        for where, kept in [*self._by_origin.items()]:
            while kept and kept[0].idle_since <= moment:
                kept.pop(0).close()
            if not kept:
                del self._by_origin[where]
