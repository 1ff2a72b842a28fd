"""Counts the progress of a plan's workers, for the same displays as a single download."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from wbfiles_async._display.tally import Tally, Transfer
from wbfiles_async._display.watching import find_painter
from wbfiles_async._scale.chunks import Chunk
from wbfiles_async._scale.worker import Event
from wbfiles_async._text import clock, counted, size_of

__all__ = ["ClusterTally", "shown"]

T = TypeVar("T")


class ClusterTally(Tally):
    """The progress of all workers. Written in one thread and read in another, like ``Tally``.

    Args:
        chunks: Chunks of the plan.
        before: The number of chunks done before.

    Attributes:
        workers: Simultaneous chunks.
        failed_chunks: Chunks that failed.
    """

    def __init__(self, chunks: int, before: int) -> None:
        super().__init__()
        self.workers = self.failed_chunks = 0
        self._chunks, self._before, self._ended = chunks, before, 0
        self._begun: dict[int, Chunk] = {}
        self._events: dict[int, Event] = {}
        self._done_files = self._done_bytes = 0
        self._since = time.monotonic()

    def begin(self, chunk: Chunk) -> None:
        """Record the start of a chunk."""
        self._begun = {**self._begun, chunk.number: chunk}

    def record(self, event: Event) -> None:
        """Record a worker's progress. The next worker repeats the reports of one that died."""
        if event.number in self._begun:
            self._events = {**self._events, event.number: event}
        self._count()

    def end(self, chunk: Chunk, files: int, size: int, failed: int) -> None:
        """Record the end of an attempt, with its files, received bytes and failures."""
        self._begun = _without(self._begun, chunk.number)
        self._events = _without(self._events, chunk.number)
        self._done_files += files
        self._done_bytes += size
        self.files_failed += failed
        self._count()

    def settle(self, *, failed: bool) -> None:
        """Record that a chunk needs no further attempt."""
        self._ended += 1
        self.failed_chunks += failed

    @property
    def share(self) -> float | None:
        """The share done, from 0 to 1: chunks, and those in progress as far as their files are known."""
        if not self._chunks:
            return 1.0
        begun = self._begun
        known = [(event.files, begun[number].files) for number, event in self._events.items() if number in begun]
        parts = sum(min(files / expected, 1.0) for files, expected in known if expected)
        return min(1.0, (self._before + self._ended + parts) / self._chunks)

    @property
    def seconds_left(self) -> float | None:
        """Estimate the seconds left from the duration so far; ``None`` if unknown."""
        share, begun = self.share or 0.0, self._before / self._chunks if self._chunks else 1.0
        if share <= begun or share >= 1.0:
            return None
        return (time.monotonic() - self._since) * (1.0 - share) / (share - begun)

    def largest(self, count: int, *, least: int) -> list[Transfer]:
        """Return the chunks in progress with the most received bytes."""
        found = [Transfer(f"chunk {event.number}", None, event.bytes) for event in self._events.values()]
        return sorted(found, key=lambda transfer: -transfer.arrived)[:count]

    def words(self) -> str:
        """Describe the state in one line."""
        words = [
            f"{self._before + self._ended:,} of {counted(self._chunks, 'chunk')}",
            counted(self.files_ended, "file"),
            size_of(self.bytes_done),
        ]
        if self._ended + self._before < self._chunks:
            words.append("stopped" if self.over else f"{size_of(self.bytes_a_second)}/s")
            if not self.over:
                words.append(counted(self.workers, "worker"))
                if (seconds := self.seconds_left) is not None:
                    words.append(f"{clock(seconds)} left")
        if self.failed_chunks or self.files_failed:
            words.append(f"{self.files_failed:,} failed")
        return ", ".join(words)

    def _count(self) -> None:
        events = list(self._events.values())
        self.files_ended = self._done_files + sum(event.files for event in events)
        self._arrived = self._received = self._done_bytes + sum(event.bytes for event in events)


def _without(held: Mapping[int, T], number: int) -> dict[int, T]:
    return {key: value for key, value in held.items() if key != number}


def shown(tally: ClusterTally, *, wanted: bool) -> AbstractContextManager[None]:
    """Show a tally during a block, if requested: in a notebook, on a terminal, or as lines.

    Raises:
        ConfigurationError: There is a terminal, and rich is not installed.
    """
    painter = find_painter() if wanted else None
    return nullcontext() if painter is None else painter.showing_blocking(tally)
