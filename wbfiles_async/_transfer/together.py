"""Fetches small files of a bulk download together, and tells which of them must go on alone. Knows no results."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import attrs

from wbfiles_async._transfer.express import Express, SmallFile
from wbfiles_async._transfer.feed import Feed
from wbfiles_async._transfer.space import Ahead, Need
from wbfiles_async._transfer.survey import Item, need_of
from wbfiles_async.errors import StoreUnavailableError


@attrs.frozen(eq=False)
class Small:
    """A small file of a bulk download, and its way."""

    item: Item
    file: SmallFile


@attrs.define(eq=False)
class Together:
    """Small files of one origin that are fetched one after the other, as far as all goes well.

    Args:
        express: Fetches them.
        series: The files.
        feed: Where they come from. Those that are not asked for after all go back to it.
        ahead: What is planned and not yet written.
        on_landed: Told of each file that is in place.
    """

    _express: Express
    _series: Sequence[Small]
    _feed: Feed
    _ahead: Ahead
    _on_landed: Callable[[Small], None]
    _undone: deque[Small] = attrs.field(init=False)
    _failed: list[Small] = attrs.field(factory=list, init=False)
    _given_back: Need = attrs.field(factory=Need, init=False)

    def __attrs_post_init__(self) -> None:
        self._undone = deque(self._series)

    @asynccontextmanager
    async def fetched(self) -> AsyncIterator[Sequence[Small]]:
        """Fetch them, and give those that something is out of the ordinary with: one that is begun comes first.

        Raises:
            WBFilesError: The client was closed.
        """
        need = need_of(small.item for small in self._series)
        self._ahead.begin(need)
        with self._feed.lending(), self._ahead.writing(need, self._arrived):
            try:
                await self._express.fetch(
                    [small.file for small in self._series],
                    goes_on=lambda: not self._feed.stopped,
                    on_done=self._done,
                    on_recalled=self._give_back,
                )
            except StoreUnavailableError as error:
                self._undone[0].file.error = error
            if self._undone and self._undone[0].file.is_odd:
                self._failed.insert(0, self._undone.popleft())
            self._give_back(len(self._undone))
        try:
            yield self._failed
        finally:
            for small in self._failed:
                await small.file.drop()

    def _arrived(self) -> int:
        return self._given_back.bytes + sum(small.file.arrived for small in self._series)

    def _done(self, file: SmallFile) -> None:
        small = self._undone.popleft()
        if file.error is None:
            self._on_landed(small)
        else:
            self._failed.append(small)

    def _give_back(self, count: int) -> None:
        """Give the last files back to the feed, and count them as planned again."""
        items = [self._undone.pop().item for _ in range(count)][::-1]
        need = need_of(items)
        self._given_back += need
        self._ahead.plan(need)
        self._feed.give_back(items)
