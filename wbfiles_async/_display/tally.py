"""Counts the progress of a download and estimates the time left. Draws nothing, and performs no I/O."""

from __future__ import annotations

import heapq
from collections import deque

import attrs

from wbfiles_async._reports import FileResult
from wbfiles_async._text import clock, counted, share_of, size_of

BARS = 4
"""Maximum files with their own bar."""

LARGE_BYTES = 1 << 20
"""Minimum size of a file with a bar; smaller ones are too quick to read."""

RATE_SECONDS = 3.0
"""Seconds that rates are averaged over: steady enough to read. More if updates are rarer."""


@attrs.define
class Transfer:
    """A file in progress.

    Attributes:
        name: Its name in the run.
        total: Its length in bytes, if known.
        arrived: Bytes that have arrived.
    """

    name: str
    total: int | None
    arrived: int = 0

    @property
    def share(self) -> float:
        """The share that has arrived, from 0 to 1; 0 if its length is unknown."""
        return min(1.0, self.arrived / self.total) if self.total else 0.0

    @property
    def weight(self) -> int:
        """Length in bytes as far as known."""
        return self.arrived if self.total is None else self.total


def amount_of(transfer: Transfer) -> str:
    """Format how much of a file has arrived, and its length if known."""
    arrived, total = transfer.arrived, transfer.total
    return size_of(arrived) if total is None else share_of(arrived, total)


@attrs.frozen
class _Moment:
    time: float
    received: int


class Tally:
    """What is done and what is left; a ``Progress`` object for a download.

    Written in one thread and read in another: each number is right, but not all are of the same instant.

    Attributes:
        listed: Whether the listing has ended.
        files_expected: The number of files, as far as listed.
        bytes_expected: Their length.
        files_ended: Files that have ended.
        files_failed: Those of them that failed.
        over: Whether the work has stopped, even if incomplete.
    """

    def __init__(self) -> None:
        self.listed = self.over = False
        self.files_expected = self.bytes_expected = 0
        self.files_ended = self.files_failed = 0
        self._arrived = self._received = self._kept = self._lost = 0
        self._transfers: dict[str, Transfer] = {}
        self._moments: deque[_Moment] = deque()

    def expect(self, files: int, size: int) -> None:
        """Add listed files and bytes."""
        self.files_expected += files
        self.bytes_expected += size

    def ended(self, result: FileResult) -> None:
        """Record the end of a file."""
        self.files_ended += 1
        if result.status == "failed":
            self.files_failed += 1
            self._lost += result.size
        elif result.status == "kept":
            self._kept += result.size

    def started(self, name: str, total: int | None) -> None:
        """See ``Progress``."""
        self._transfers[name] = Transfer(name, total)

    def advanced(self, name: str, count: int) -> None:
        """See ``Progress``."""
        self._received += max(0, count)  # bytes of a restarted file were received nevertheless
        self.resumed(name, count)

    def resumed(self, name: str, count: int) -> None:
        """See ``report_resumed``."""
        self._arrived += count
        if transfer := self._transfers.get(name):  # missing if a server lists two files of one name
            transfer.arrived += count
            if transfer.total is None:  # which no listing counted
                self.bytes_expected += count

    def finished(self, name: str) -> None:
        """See ``Progress``."""
        self._transfers.pop(name, None)

    def failed(self, name: str, error: Exception) -> None:
        """See ``Progress``."""
        if transfer := self._transfers.pop(name, None):
            self._arrived -= transfer.arrived
            if transfer.total is None:
                self.bytes_expected -= transfer.arrived

    @property
    def bytes_done(self) -> int:
        """Bytes that arrived or existed."""
        return self._arrived + self._kept

    @property
    def share(self) -> float | None:
        """The share done, from 0 to 1, in bytes, or in files if all are empty; ``None`` until the listing has ended."""
        if not self.listed:
            return None
        if self.bytes_expected:
            return min(1.0, (self.bytes_done + self._lost) / self.bytes_expected)
        return min(1.0, self.files_ended / self.files_expected) if self.files_expected else 1.0

    def remember(self, now: float) -> None:
        """Sample the state at a time, in monotonic seconds, for rates."""
        self._moments.append(_Moment(now, self._received))
        while len(self._moments) > 2 and now - self._moments[1].time >= RATE_SECONDS:
            self._moments.popleft()

    @property
    def bytes_a_second(self) -> float:
        """The recent rate, in bytes per second."""
        if not self._moments:
            return 0.0
        first, last = self._moments[0], self._moments[-1]
        return (last.received - first.received) / (last.time - first.time or 1.0)

    @property
    def seconds_left(self) -> float | None:
        """Estimate the seconds left at the recent rate; ``None`` if unknown."""
        left = self.bytes_expected - self.bytes_done - self._lost
        return left / self.bytes_a_second if self.listed and left > 0 and self.bytes_a_second else None

    def largest(self, count: int, *, least: int) -> list[Transfer]:
        """Return the largest files in progress, at most ``count``, with a minimum size."""
        large = [transfer for transfer in self._under_way() if transfer.weight >= least]
        return heapq.nlargest(count, large, key=lambda transfer: transfer.weight)

    def words(self) -> str:
        """Describe the state in one line."""
        if not self.files_expected and not self.files_ended:
            return "No files" if self.listed else "Listing the files"
        if self.listed:
            words = [
                f"{self.files_ended:,} of {counted(self.files_expected, 'file')}",
                share_of(self.bytes_done, self.bytes_expected),
            ]
        else:
            known = counted(max(self.files_expected, self.files_ended), "file")
            words = [f"{self.files_ended:,} of {known} or more", size_of(self.bytes_done)]
        if self.over and not self._is_done:
            words.append("stopped")
        elif not self._is_done:
            words.append(f"{size_of(self.bytes_a_second)}/s")
            if (seconds := self.seconds_left) is not None:
                words.append(f"{clock(seconds)} left")
        if self.files_failed:
            words.append(f"{self.files_failed:,} failed")
        return ", ".join(words)

    @property
    def _is_done(self) -> bool:
        return self.listed and self.files_ended >= self.files_expected

    def _under_way(self) -> list[Transfer]:
        return list(self._transfers.values())  # in one step, while the other thread runs
