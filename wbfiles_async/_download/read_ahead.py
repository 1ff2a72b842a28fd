"""Decides what an open file requests, and keeps what it may need again. Performs no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from wbfiles_async._ranges import Range

__all__ = ["ReadAhead", "cut", "merge"]

MOST_AHEAD: Final = 8 << 20
"""Bytes that are read ahead at most, once a file is read in order: at 50 ms a request, 100 MB/s and more."""

BLOCKS: Final = 3
"""Blocks that are kept: where the reader is, where it was, and the end of the file, where zip and parquet have their
contents."""

MERGE_GAP: Final = 256 << 10
"""Bytes between two ranges up to which one request for both is quicker than two: what a slow link brings in the time
that a request takes to be answered."""


@attrs.define
class ReadAhead:
    """The blocks of one file that an open handle keeps.

    A read in order requests twice as much as the one before, up to `MOST_AHEAD`; any other begins with one block.

    Attributes:
        block: Bytes that are requested at least.
    """

    block: int
    _ahead: int = attrs.field(default=0, init=False)
    _expected: int = attrs.field(default=-1, init=False)
    _blocks: list[tuple[int, bytes]] = attrs.field(factory=list, init=False)

    def take(self, start: int, stop: int) -> bytes | None:
        """Return bytes ``[start, stop)``, or those of them that are kept from ``start`` on; ``None`` if none are."""
        for index, (offset, data) in enumerate(self._blocks):
            if offset <= start < offset + len(data):
                self._blocks.append(self._blocks.pop(index))  # the last one is the latest used
                return data[start - offset : stop - offset]
        return None

    def plan(self, start: int, stop: int, size: int) -> Range:
        """Return what is requested where bytes from ``start`` to ``stop`` are wanted and none of the first are kept.

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
        """Keep what was requested; a long piece, which the reader has, is not kept."""
        if len(data) <= max(self.block, MOST_AHEAD):
            self._blocks = [*self._blocks[1 - BLOCKS :], (start, data)]

    def forget(self) -> None:
        """Keep nothing."""
        self._blocks = []


def merge(wanted: Iterable[Range], *, gap: int = MERGE_GAP) -> list[Range]:
    """Return the ranges to request for those that are wanted, which may overlap and come in any order.

    Args:
        wanted: The ranges. Empty ones need no request.
        gap: Bytes that nobody wants and that are requested rather than to make another request.
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
    """Return the bytes of one range from those that were requested, one of which holds it."""
    if wanted.length <= 0:
        return b""
    whole, data = next(each for each in found if each[0].start <= wanted.start and wanted.stop <= each[0].stop)
    return data[wanted.start - whole.start : wanted.stop - whole.start]
