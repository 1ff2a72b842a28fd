"""Decides which ranges an open file requests, and caches blocks. Performs no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from wbfiles_async._ranges import Range

__all__ = ["ReadAhead", "cut", "merge"]

MOST_AHEAD: Final = 8 << 20
"""Maximum bytes of read-ahead during sequential reads: at 50 ms per request, 100 MB/s and more."""

BLOCKS: Final = 3
"""Number of cached blocks: the current and the previous position, and the end of the file, where zip and parquet
have their directory."""

MERGE_GAP: Final = 256 << 10
"""Maximum gap in bytes between two ranges that are requested together: what a slow link transfers during a request's
latency."""


@attrs.define
class ReadAhead:
    """The cached blocks of an open file.

    A sequential read requests twice as much as the one before, up to `MOST_AHEAD`; others start with one block.

    Attributes:
        block: Minimum bytes of a request.
    """

    block: int
    _ahead: int = attrs.field(default=0, init=False)
    _expected: int = attrs.field(default=-1, init=False)
    _blocks: list[tuple[int, bytes]] = attrs.field(factory=list, init=False)

    def take(self, start: int, stop: int) -> bytes | None:
        """Return cached bytes of ``[start, stop)`` from ``start`` on; ``None`` if there are none."""
        for index, (offset, data) in enumerate(self._blocks):
            if offset <= start < offset + len(data):
                self._blocks.append(self._blocks.pop(index))  # the last one is the most recently used
                return data[start - offset : stop - offset]
        return None

    def plan(self, start: int, stop: int, size: int) -> Range:
        """Return the range to request for bytes from ``start`` to ``stop`` that are not cached.

        Args:
            start: First byte.
            stop: End, exclusive, not beyond the end of the file.
            size: The file's length in bytes.
        """
        in_order = start == self._expected
        self._ahead = min(MOST_AHEAD, 2 * self._ahead) if in_order and self._ahead else self.block
        begin, end = start, min(size, max(stop, start + self._ahead))
        if end == size and not in_order:  # the end of a file is read from its last bytes backwards
            begin = max(0, min(start, size - self.block))
        self._expected = end
        return Range(begin, end)

    def keep(self, start: int, data: bytes) -> None:
        """Cache requested bytes, except a long piece, which the reader has."""
        if len(data) <= max(self.block, MOST_AHEAD):
            self._blocks = [*self._blocks[1 - BLOCKS :], (start, data)]

    def forget(self) -> None:
        """Keep nothing."""
        self._blocks = []


def merge(wanted: Iterable[Range], *, gap: int = MERGE_GAP) -> list[Range]:
    """Merge the wanted ranges, which may overlap and be in any order, into ranges to request.

    Args:
        wanted: The ranges. Empty ones need no request.
        gap: Maximum unneeded bytes that are requested instead of sending another request.
    """
    merged: list[Range] = []
    for each in sorted(wanted, key=lambda each: each.start):
        if each.length <= 0:
            continue
        if merged and each.start - merged[-1].stop <= gap:
            merged[-1] = Range(merged[-1].start, max(merged[-1].stop, each.stop))
        else:
            merged.append(each)
    return merged


def cut(wanted: Range, found: Sequence[tuple[Range, bytes]]) -> bytes:
    """Return the bytes of one range from the requested ones, one of which contains it."""
    if wanted.length <= 0:
        return b""
    whole, data = next(each for each in found if each[0].start <= wanted.start and wanted.stop <= each[0].stop)
    return data[wanted.start - whole.start : wanted.stop - whole.start]
