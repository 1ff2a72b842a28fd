"""Idle connections, kept until they are needed again or have been idle for too long."""

from __future__ import annotations

import asyncio
import weakref

from wbfiles_async._http.connection import Connection

__all__ = ["ConnectionPool"]

IDLE_SECONDS = 30.0
"""How long an unused connection is kept: less than stores keep theirs."""


class ConnectionPool:
    """Keeps connections by origin; the one that was used last is used next.

    Idle connections are not watched: whether the server has closed one is checked when it is needed. Does not limit
    how many there are; the caller does.
    """

    def __init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def register(self, connection: Connection) -> None:
        """Have a new connection ended when the pool is closed, whether it is in use or not."""
        if self._closed:
            connection.close()
        else:
            self._all.add(connection)

    def take(self, origin: str) -> Connection | None:
        """Return an idle connection to an origin that can be used."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_reusable:
                return connection
            connection.close()
        return None

    def put(self, origin: str, connection: Connection) -> None:
        """Keep an idle connection."""
        if self._closed:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._timer is None:
            self._timer = loop.call_later(IDLE_SECONDS, self._close_expired)

    def close_idle(self) -> bool:
        """Close all idle connections, and return whether there were any: each frees a descriptor."""
        had_any = any(self._idle.values())
        self._close_idle_until(float("inf"))
        return had_any

    def close(self) -> None:
        """Close the idle connections, and end those in use."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.close_idle()
        for connection in self._all:
            if not connection.has_ended:
                connection.abort()

    def _close_expired(self) -> None:
        loop = asyncio.get_running_loop()
        self._close_idle_until(loop.time() - IDLE_SECONDS)
        oldest = min((idle[0].idle_since for idle in self._idle.values()), default=None)
        self._timer = None if oldest is None else loop.call_at(oldest + IDLE_SECONDS, self._close_expired)

    def _close_idle_until(self, moment: float) -> None:
        """Close those that have been idle since then or longer."""
        for origin, idle in [*self._idle.items()]:
            while idle and idle[0].idle_since <= moment:
                idle.pop(0).close()
            if not idle:
                del self._idle[origin]
