"""Reports a contender's measurements to the parent process."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

_TICK = 0.001
"""Seconds between two samples of the event loop; a thousand per second cost it two percent."""


def report(seconds: float, *, stall: float | None = None, files: int | None = None) -> None:
    """Report the result, then wait until the parent has read the memory use of this process and its children.

    Args:
        seconds: Duration of the work.
        stall: Longest stall of the event loop, in seconds; ``None`` if unknown.
        files: The number of files listed, if listing was the work.
    """
    print(json.dumps({"seconds": seconds, "stall": stall, "files": files}), flush=True)
    sys.stdin.read()


class Stopwatch:
    """Measures the time of a ``with`` or ``async with`` block; with the latter also the event loop's longest stall."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.stall = 0.0
        self._began = 0.0
        self._ticking: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._began

    async def __aenter__(self) -> Self:
        self._ticking = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
        if self._ticking is not None:
            await asyncio.sleep(2 * _TICK)  # a stall up to the very end is noticed at the next tick
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking

    async def _tick(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_TICK)
            self.stall = max(self.stall, time.perf_counter() - before - _TICK)
