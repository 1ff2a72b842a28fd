"""A server whose store stops midway in chosen files until released."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._thread import Service

HELD = "held"
"""Files whose names begin so are held back."""


class HoldingServer(LocalServer):
    """A ``LocalServer`` that sends half of a file that is held back, and the rest when released."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._begun = threading.Semaphore(0)
        self._gate: Future[None] = Future()

    def wait_until_held(self, count: int = 1) -> None:
        """Return when half of each of that many further files has been sent."""
        for _ in range(count):
            if not self._begun.acquire(timeout=30):
                raise TimeoutError("no file that is held back was requested")

    def release(self) -> None:
        """Release all files."""
        self._gate.set_result(None)

    def _services(self) -> tuple[Service, Service]:
        api, store = super()._services()
        store.app.middlewares.append(self._hold)
        return api, store

    @web.middleware
    async def _hold(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.match_info["name"].startswith(HELD):
            return await handler(request)
        content = self.root.joinpath(request.path.removeprefix("/store/")).read_bytes()
        response = web.StreamResponse()
        response.content_length = len(content)
        await response.prepare(request)
        half = len(content) // 2
        await response.write(content[:half])
        self._begun.release()
        await asyncio.shield(asyncio.wrap_future(self._gate))
        await response.write(content[half:])
        await response.write_eof()
        return response
