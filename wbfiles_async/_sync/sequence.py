"""The base of blocking listings: sequences that cache their items."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator
from typing import Generic, TypeVar, overload

from wbfiles_async._html import ROWS, Row, ShownList, listing_html
from wbfiles_async._sync.portal import iterate_blocking
from wbfiles_async.errors import WBFilesError

Theirs = TypeVar("Theirs")
Ours = TypeVar("Ours", bound=Row)


class RememberedSequence(ABC, Generic[Theirs, Ours]):
    """Iterable, with ``len()``, ``[i]`` and ``[a:b]``; requests only the necessary pages, each once."""

    def __init__(self) -> None:
        self._listed: list[Ours] = []
        self._ended = False
        self._pages: Iterator[list[Theirs]] | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()

    @abstractmethod
    def _begin(self) -> AsyncGenerator[list[Theirs]]:
        """Start the listing."""

    @abstractmethod
    def _wrap(self, page: list[Theirs]) -> list[Ours]:
        """Wrap the items of a page."""

    @abstractmethod
    def _title(self) -> tuple[str, str]:
        """Return the kind of the items, and the run or project."""

    @abstractmethod
    def count(self) -> int:
        """Request their number."""

    def _repr_html_(self) -> str:
        """Show the first items, listing them if necessary."""
        trouble = ""
        try:
            self._listed_beyond(ROWS)
        except WBFilesError as error:  # displaying must not fail
            trouble = str(error)
        return listing_html(*self._title(), self._listed, complete=self._ended, trouble=trouble)

    def __iter__(self) -> Iterator[Ours]:
        index = 0
        while self._listed_beyond(index):
            yield self._listed[index]
            index += 1

    def __len__(self) -> int:
        # list() also needs the length, which the first page usually has.
        self._listed_beyond(0)
        return len(self._listed) if self._ended else self.count()

    @overload
    def __getitem__(self, index: int) -> Ours: ...
    @overload
    def __getitem__(self, index: slice) -> list[Ours]: ...
    def __getitem__(self, index: int | slice) -> Ours | list[Ours]:
        needed = index if isinstance(index, int) else index.stop
        from_start = needed is not None and needed >= 0
        if isinstance(index, slice):
            from_start = from_start and (index.start is None or index.start >= 0)
        self._listed_beyond(needed if from_start and needed is not None else None)
        return self._listed[index] if isinstance(index, int) else ShownList(self._listed[index])

    def _listed_beyond(self, index: int | None) -> bool:
        """List until this index exists, or to the end if it is ``None``; return whether it exists."""
        with self._lock:
            if self._process != os.getpid() and not self._ended:
                # A started listing belongs to the parent process, with the parent's connections.
                self._process, self._pages, self._listed = os.getpid(), None, []
            while not self._ended and (index is None or len(self._listed) <= index):
                self._pages = self._pages or iterate_blocking(self._begin())
                try:
                    page = next(self._pages, None)
                except BaseException:
                    # An interrupted listing cannot continue; the next use starts again.
                    self._pages, self._listed = None, []
                    raise
                if page is None:
                    self._ended = True
                else:
                    self._listed += self._wrap(page)
            return index is not None and index < len(self._listed)
