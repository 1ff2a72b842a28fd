"""What the blocking listings have in common: they are sequences that remember what they have listed."""

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
    """Iterable, with ``len()``, ``[i]`` and ``[a:b]``; requests as many pages as that takes, each once."""

    def __init__(self) -> None:
        self._listed: list[Ours] = []
        self._ended = False
        self._pages: Iterator[list[Theirs]] | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()

    @abstractmethod
    def _begin(self) -> AsyncGenerator[list[Theirs]]:
        """Begin to list."""

    @abstractmethod
    def _wrap(self, page: list[Theirs]) -> list[Ours]:
        """Make what is handed out of what is listed."""

    @abstractmethod
    def _title(self) -> tuple[str, str]:
        """Return the kind of what is listed, and of what it is."""

    @abstractmethod
    def count(self) -> int:
        """Ask how many there are."""

    def _repr_html_(self) -> str:
        """Show the first of them, which are listed first if they are not yet."""
        trouble = ""
        try:
            self._listed_beyond(ROWS)
        except WBFilesError as error:  # to look at something must not fail
            trouble = str(error)
        return listing_html(*self._title(), self._listed, complete=self._ended, trouble=trouble)

    def __iter__(self) -> Iterator[Ours]:
        index = 0
        while self._listed_beyond(index):
            yield self._listed[index]
            index += 1

    def __len__(self) -> int:
        # list() reads the length too: most often the first page, needed anyway, has it.
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
        """List until there is one of this index, or to the end; return whether there is one."""
        with self._lock:
            if self._process != os.getpid() and not self._ended:
                # What was begun continues in the parent process, over the parent's connections.
                self._process, self._pages, self._listed = os.getpid(), None, []
            while not self._ended and (index is None or len(self._listed) <= index):
                self._pages = self._pages or iterate_blocking(self._begin())
                try:
                    page = next(self._pages, None)
                except BaseException:
                    # A listing that broke off cannot continue; the next use begins again.
                    self._pages, self._listed = None, []
                    raise
                if page is None:
                    self._ended = True
                else:
                    self._listed += self._wrap(page)
            return index is not None and index < len(self._listed)
