"""Hands the files of a listing to those who work on them, a page of the listing at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import anyio

from wbfiles_async._transfer.survey import Item


class Feed:
    """The files that nobody works on yet.

    Args:
        pages: More of them; asked for when none is left.
    """

    def __init__(self, pages: AsyncIterator[list[Item]]) -> None:
        self._pages = pages
        self._items: deque[Item] = deque()
        self._lock = anyio.Lock()
        self._ended = False
        self._lent = 0
        self._change = anyio.Event()
        self.stopped = False

    @property
    def left(self) -> int:
        """Files that were listed and not worked on."""
        return len(self._items)

    def share(self, workers: int, *, most: int) -> int:
        """Tell how many of those that are here are one worker's share; one at least."""
        return max(1, min(most, len(self._items) // workers))

    def stop(self) -> None:
        """Hand out nothing more."""
        self.stopped = True
        self._change.set()

    def peek(self) -> Item | None:
        """Give the next file, where it is here already; it stays."""
        return self._items[0] if self._items and not self.stopped else None

    def skip(self) -> None:
        """Take the file that ``peek`` gave."""
        self._items.popleft()

    @contextmanager
    def lending(self) -> Iterator[None]:
        """Have nobody go away as long as files are out that may be given back."""
        self._lent += 1
        try:
            yield
        finally:
            self._lent -= 1
            self._change.set()

    def give_back(self, items: Sequence[Item]) -> None:
        """Take back files, in order, that nothing was done with."""
        self._items.extendleft(reversed(items))
        self._change.set()

    async def next(self) -> Item | None:
        """Wait for the next file, and take it; ``None`` where there is none."""
        while not (self._items or self.stopped):
            async with self._lock:
                if self._items or self.stopped:
                    continue
                if self._ended:
                    if not self._lent:
                        return None
                    self._change = anyio.Event()
                    await self._change.wait()
                    continue
                try:
                    self._items.extend(await anext(self._pages))
                except StopAsyncIteration:
                    self._ended = True
        return None if self.stopped else self._items.popleft()
