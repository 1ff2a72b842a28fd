"""The queue of planned files, filled a page of the listing at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio

from wbfiles_async._download.planned import PlannedFile

__all__ = ["WorkQueue"]

WOKEN_AT_ONCE: Final = 4
"""Maximum workers woken in one turn of the loop; each then wakes another. Opening a hundred connections in one turn
would block the loop for a tenth of a second."""


class WorkQueue:
    """Distributes the planned files to workers in the event loop and in threads.

    Args:
        pages: The pages. The next one is planned during the last quarter of the current one.
        least: The minimum of files left when the next page is planned.
        at_once: Returns the maximum of files in progress, which may change.
    """

    def __init__(self, pages: AsyncIterator[list[PlannedFile]], least: int, at_once: Callable[[], int]) -> None:
        self._pages = pages
        self._at_once = at_once
        self._in_progress = 0
        self._least = self._low = least
        self._items: deque[PlannedFile] = deque()
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_low = anyio.Event()
        self._ended = False
        self.stopped = False

    @property
    def left(self) -> int:
        """Files that were planned but not started."""
        return len(self._items)

    async def fill(self) -> None:
        """Plan page after page, as needed. Runs concurrently with the workers, and ends with the listing.

        Raises:
            WBFilesError: The listing failed.
        """
        try:
            async for page in self._pages:
                self._is_low = anyio.Event()
                self._low = max(self._least, len(page) // 4)
                with self._lock:
                    self._items.extend(page)
                self.look_again()
                if len(self._items) > self._low and not self.stopped:
                    await self._is_low.wait()
                if self.stopped:
                    break
        finally:
            self._ended = True
            self._wake(len(self._waiting))

    def stop(self) -> None:
        """Stop the distribution."""
        self.stopped = True
        self._is_low.set()
        self._wake(len(self._waiting))

    def stop_soon(self) -> None:
        """Stop the distribution. Any thread may call this; ``stop`` must follow."""
        self.stopped = True

    async def next(self) -> PlannedFile | None:
        """Wait for the next file and take it; ``None`` if there is none. ``done`` must follow."""
        while not self.stopped:
            is_free = self._in_progress < self._at_once()
            if is_free and (item := self.take_if(lambda _: True)) is not None:
                self._in_progress += 1
                self._wake(min(1, self._room))
                return item
            if self._ended and not self._items:
                return None
            change = self._loop.create_future()
            self._waiting.append(change)
            await change
        return None

    def done(self) -> None:
        """Record that a taken file is no longer in progress."""
        self._in_progress -= 1
        self.look_again()

    def look_again(self) -> None:
        """Let waiting workers take files, up to the current maximum."""
        if self._items:
            self._wake(min(WOKEN_AT_ONCE, self._room))
        elif self._ended:
            self._wake(len(self._waiting))

    @property
    def _room(self) -> int:
        """How many workers may take a file now."""
        return min(len(self._items), self._at_once() - self._in_progress)

    def _wake(self, number: int) -> None:
        while number > 0 and self._waiting:
            change = self._waiting.popleft()
            if not change.done():  # otherwise it was cancelled
                change.set_result(None)
                number -= 1

    def take_if(self, wanted: Callable[[PlannedFile], bool]) -> PlannedFile | None:
        """Take the next file, if there is one and it is accepted. Any thread may call this."""
        while not self.stopped:
            try:
                item = self._items[0]
            except IndexError:
                return None
            if not wanted(item):  # not under the lock, which the event loop takes too
                return None
            with self._lock:
                if not self._items or self._items[0] is not item:
                    continue  # another worker was faster
                self._items.popleft()
                is_low = len(self._items) == self._low
            if is_low:
                self._loop.call_soon_threadsafe(self._set_low)
            return item
        return None

    def _set_low(self) -> None:
        self._is_low.set()
