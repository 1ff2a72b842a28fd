"""The clients of a file system: one per event loop, created at first use."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._fsspec.lookups import Lookups

__all__ = ["Clients", "Link"]

CLOSE_SECONDS: Final = 5.0
"""Seconds to wait for the clean-up of a client, so that a hanging network does not block the interpreter's exit."""

_inherited: list[dict[asyncio.AbstractEventLoop, Link]] = []
"""Clients of a parent process. Kept, never closed: closing would send on connections that the parent uses."""


@attrs.frozen(eq=False)
class Link:
    """The client and lookups of a file system in one event loop.

    Attributes:
        api: The client.
        lookups: Looks files up by their names, many in one request.
    """

    api: AsyncApi
    lookups: Lookups


class Clients:
    """Creates and caches the clients.

    Args:
        make: Creates a client.
    """

    def __init__(self, make: Callable[[], AsyncApi]) -> None:
        self._make = make
        self._process = os.getpid()
        self._links: dict[asyncio.AbstractEventLoop, Link] = {}

    def current(self) -> Link:
        """Return the client and lookups of the running event loop."""
        if self._process != os.getpid():
            _inherited.append(self._links)
            self._process, self._links = os.getpid(), {}
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            for other in [other for other in list(self._links) if other.is_closed()]:
                self._links.pop(other, None)  # its connections ended with it
            api = self._make()
            link = self._links[loop] = Link(api, Lookups(api))
        return link

    async def aclose(self) -> None:
        """Close the client of the running event loop; the next use creates another."""
        link = self._links.pop(asyncio.get_running_loop(), None) if self._process == os.getpid() else None
        if link is not None:
            await link.api.aclose()

    def close(self) -> None:
        """Close the clients of all loops that still run, from any thread."""
        if self._process != os.getpid():
            return
        while self._links:
            loop, link = self._links.popitem()
            if loop.is_running():  # otherwise it has ended, and with it the connections
                _close(loop, link.api)


def _close(loop: asyncio.AbstractEventLoop, api: AsyncApi) -> None:
    """Close a client and wait for that; inside its event loop, where the garbage collector may run, only start it."""
    closing = api.aclose()
    try:
        done = asyncio.run_coroutine_threadsafe(closing, loop)
    except RuntimeError:  # the loop ended meanwhile
        closing.close()
        return
    if not _runs_here(loop):
        with suppress(TimeoutError, asyncio.CancelledError):
            done.result(CLOSE_SECONDS)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
