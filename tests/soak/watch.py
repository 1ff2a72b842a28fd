"""Compares what a process holds with what it held before: descriptors, tasks, threads, and what was never awaited."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from scripted_server import secrets_in

SECONDS = 5.0
"""Seconds in which what is being closed must be closed."""


class Watch:
    """What is there before a program, for a look at what is left after it."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._threads = _threads()
        self._descriptors = _descriptors()

    def tasks_besides(self, others: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
        """Return the tasks that are new, without these others."""
        return asyncio.all_tasks() - self._tasks - others

    async def left(self) -> list[str]:
        """Return what is still there that was not before."""
        gc.collect()  # what was never closed complains now
        found = []
        if not await settled(lambda: not self.tasks_besides(set())):
            found.append(f"tasks are left: {[task.get_coro() for task in self.tasks_besides(set())]}")
        if not await settled(lambda: _threads() <= self._threads):
            found.append(f"threads are left: {_threads() - self._threads}")
        if not await settled(lambda: not _descriptors() - self._descriptors):
            found.append(f"descriptors are left: {dict(_descriptors() - self._descriptors)}")
        return found


class Complaints(logging.Handler):
    """Records what is logged, what the loop reports, and what is raised where it cannot be caught."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._heard: list[str] = []

    def listen(self) -> None:
        """Begin; for the rest of the process."""
        root = logging.getLogger()
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        asyncio.get_running_loop().set_exception_handler(self._complain)
        sys.unraisablehook = lambda unraisable: self._heard.append(f"not raised: {unraisable}")

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # The scripted server's streams, when one is cancelled while it waits to send to a client that has gone. No
        # future of the library holds the failure of a connection.
        if not (isinstance(context.get("exception"), ConnectionError) and "never retrieved" in context["message"]):
            self._heard.append(f"the loop complains: {context}")

    def emit(self, record: logging.LogRecord) -> None:
        """Look at what is logged for secrets."""
        if secrets_in(text := record.getMessage()):
            self._heard.append(f"a log shows a secret: {text}")

    def take(self) -> list[str]:
        """Return what was heard since the last time."""
        heard, self._heard = self._heard, []
        return heard


async def settled(condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds; return whether it ever did."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.001)
    return True


def _threads() -> set[threading.Thread]:
    """Return the threads but for the loop's own and our watcher, which stay until it is closed."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith(("asyncio_", "wbfiles-readiness"))}


def _descriptors() -> Counter[str]:
    """Count what this process has open, sockets as one kind since their numbers are chance."""
    folder = Path("/proc/self/fd")
    found: Counter[str] = Counter()
    for entry in folder.iterdir() if folder.exists() else ():
        with suppress(FileNotFoundError):
            target = str(entry.readlink())
            if not target.startswith("/proc/"):
                found[target.partition(":")[0]] += 1
    return found
