"""Compares a process with its earlier state: descriptors, tasks, threads, and coroutines that were never awaited."""

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
"""Seconds within which closing must finish."""


class Watch:
    """The state before a program, to find leftovers after it."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._threads = _threads()
        self._descriptors = _descriptors()

    def tasks_besides(self, others: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
        """Return the new tasks, without these others."""
        return asyncio.all_tasks() - self._tasks - others

    async def left(self) -> list[str]:
        """Return what exists now and did not before."""
        gc.collect()  # unclosed objects warn now
        found = []
        if not await settled(lambda: not self.tasks_besides(set())):
            found.append(f"tasks are left: {[task.get_coro() for task in self.tasks_besides(set())]}")
        if not await settled(lambda: _threads() <= self._threads):
            found.append(f"threads are left: {_threads() - self._threads}")
        if not await settled(lambda: not _descriptors() - self._descriptors):
            found.append(f"descriptors are left: {dict(_descriptors() - self._descriptors)}")
        return found


class Complaints(logging.Handler):
    """Records log messages, reports of the event loop, and unraisable exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._reports: list[str] = []

    def listen(self) -> None:
        """Start, for the rest of the process."""
        root = logging.getLogger()
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        asyncio.get_running_loop().set_exception_handler(self._complain)
        sys.unraisablehook = lambda unraisable: self._reports.append(f"not raised: {unraisable}")

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # The scripted server's streams, when one is cancelled while it waits to send to a client that has gone. No
        # future of the library holds the failure of a connection.
        if not (isinstance(context.get("exception"), ConnectionError) and "never retrieved" in context["message"]):
            self._reports.append(f"the loop complains: {context}")

    def emit(self, record: logging.LogRecord) -> None:
        """Search log messages for secrets."""
        if secrets_in(text := record.getMessage()):
            self._reports.append(f"a log shows a secret: {text}")

    def take(self) -> list[str]:
        """Return the records since the last call."""
        reports, self._reports = self._reports, []
        return reports


async def settled(condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds; return whether it did."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.001)
    return True


def _threads() -> set[threading.Thread]:
    """Return the threads, without the event loop's own and our watcher, which stay until it is closed."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith(("asyncio_", "wbfiles-readiness"))}


def _descriptors() -> Counter[str]:
    """Count the open descriptors of this process, sockets as one kind since their numbers are random."""
    folder = Path("/proc/self/fd")
    found: Counter[str] = Counter()
    for entry in folder.iterdir() if folder.exists() else ():
        with suppress(FileNotFoundError):
            target = str(entry.readlink())
            if not target.startswith("/proc/"):
                found[target.partition(":")[0]] += 1
    return found
