"""Idle connections, kept until they are needed again or have been idle for too long."""

from __future__ import annotations

import asyncio
import weakref

from wbfiles_async._http.connection import Connection

__all__ = ["ConnectionPool"]

IDLE_SECONDS = 30.0
"""Seconds to keep an idle connection: less than stores do."""


class ConnectionPool:
    """Keeps connections by origin; the most recently used one is used next.

    Idle connections are not watched: whether the server has closed one is checked before its use. The caller limits
    their number.
    """

    def __init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def register(self, connection: Connection) -> None:
        """Register a new connection, which ends when the pool is closed, even if it is in use."""
        if self._closed:
            connection.close()
        else:
            self._all.add(connection)

    def take(self, origin: str) -> Connection | None:
        """Return a reusable idle connection to an origin."""
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
        """Close all idle connections, each of which frees a descriptor; return whether there were any."""
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
            connection.abort()

    def _close_expired(self) -> None:
        loop = asyncio.get_running_loop()
        self._close_idle_until(loop.time() - IDLE_SECONDS)
        oldest = min((idle[0].idle_since for idle in self._idle.values()), default=None)
        self._timer = None if oldest is None else loop.call_at(oldest + IDLE_SECONDS, self._close_expired)

    def _close_idle_until(self, moment: float) -> None:
        """Close connections that have been idle since then or longer."""
        for origin, idle in [*self._idle.items()]:
            while idle and idle[0].idle_since <= moment:
                idle.pop(0).close()
            if not idle:
                del self._idle[origin]
