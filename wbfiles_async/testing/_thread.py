"""Runs web applications in a thread and an event loop of its own. Knows nothing of what they answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

import attrs
from aiohttp import web

_GRACE = 0.1
"""Seconds that requests under way have to end by themselves when the service is closed."""

_ACCEPT_ROUNDS = 3
"""Rounds of the event loop that take an accepted connection to its protocol, with one to spare."""


@attrs.frozen
class Service:
    """An application and the socket that it answers at.

    Attributes:
        app: The application.
        listener: A listening socket. It queues the connections that come before the thread is ready, so there
            is nothing to wait for.
    """

    app: web.Application
    listener: socket.socket

    @property
    def origin(self) -> str:
        """Where the application is reached, as ``http://host:port``."""
        host, port, *_ = self.listener.getsockname()
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class ServiceThread:
    """Serves from the moment it is made until it is closed, and then closes the sockets.

    Args:
        services: What is served.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="wbfiles-local-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving, breaking off what is under way; return when the thread has ended."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        runners = [web.AppRunner(service.app, access_log=None, shutdown_timeout=_GRACE) for service in self._services]
        try:
            for runner, service in zip(runners, self._services, strict=True):
                await runner.setup()
                await web.SockSite(runner, service.listener).start()
            await self._stop.wait()
            await self._stop_accepting()
        finally:
            for runner in runners:
                await runner.cleanup()

    async def _stop_accepting(self) -> None:
        # A connection that is accepted but not yet with its protocol when the listener is closed is never closed
        # itself; CPython's Server takes no more by then.
        for service in self._services:
            with suppress(NotImplementedError):  # Windows' proactor loop has no readers.
                self._loop.remove_reader(service.listener)
        for _ in range(_ACCEPT_ROUNDS):
            await asyncio.sleep(0)
