"""Runs web applications in a thread with its own event loop. Does not know what they serve."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

import attrs
from aiohttp import web

_GRACE = 0.1
"""Seconds that running requests may still take when the service is closed."""

_ACCEPT_ROUNDS = 3
"""Turns of the event loop until an accepted connection has its protocol, and one more."""


@attrs.frozen
class Service:
    """A web application and its listening socket.

    Attributes:
        app: The application.
        listener: The listening socket. It queues connections until the thread is ready, so callers need not wait.
    """

    app: web.Application
    listener: socket.socket

    @property
    def origin(self) -> str:
        """The origin of the application, ``http://host:port``."""
        host, port, *_ = self.listener.getsockname()
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class ServiceThread:
    """Runs the services from its creation until it is closed, which also closes the sockets.

    Args:
        services: The services.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="wbfiles-local-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the services, abort running requests, and wait for the end of the thread."""
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
        # If the listener is closed between accepting a connection and creating its protocol, that connection is
        # never closed, since CPython's Server then registers no more.
        for service in self._services:
            with suppress(NotImplementedError):  # Windows' proactor loop has no readers.
                self._loop.remove_reader(service.listener)
        for _ in range(_ACCEPT_ROUNDS):
            await asyncio.sleep(0)
