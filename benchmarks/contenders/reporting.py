"""How a contender reports what it measured."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

_TICK = 0.001
"""Seconds between two looks at the event loop; a thousand a second cost it two percent."""


def report(seconds: float, *, stall: float | None = None, files: int | None = None) -> None:
    """Report the result, and stay until the parent has read how much memory this process and its children took.

    Args:
        seconds: What the work took.
        stall: Seconds that the event loop stood still at most; ``None`` where it cannot be seen.
        files: How many files were listed, where that was the work.
    """
    print(json.dumps({"seconds": seconds, "stall": stall, "files": files}), flush=True)
    sys.stdin.read()


class Stopwatch:
    """Measures the time inside of a ``with``, or an ``async with``; then also the event loop's longest stall."""

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
