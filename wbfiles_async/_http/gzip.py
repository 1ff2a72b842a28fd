"""Decompress a gzip stream as it arrives, in small steps and within bounds. Performs no I/O.

Source:
    RFC 1952.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import attrs

__all__ = ["CorruptError", "Gunzip"]

_STEP: Final = 256 << 10
"""Bytes decompressed in one go: a millisecond's work, whatever the stream makes of its next byte."""

_SLICE: Final = 16 << 10
"""Bytes of the stream that are looked at in one go: zlib copies all that is left of them at the end of each member."""

_MOST_UNCOMPRESSED: Final = 256 << 20
_MOST_RATIO: Final = 100
"""Logs shrink to a tenth or a twentieth; a hundredth is a bomb, once it is more than a few hundred megabytes."""

_MOST_WASTE: Final = 1 << 20
"""Bytes by which a stream may be longer than twice what is in it: gzip adds a few to each 64 KiB, no more."""

_GZIP: Final = 16 + zlib.MAX_WBITS


class CorruptError(ValueError):
    """It is no gzip stream, or one that is damaged or hostile."""


@attrs.define
class Gunzip:
    """Takes a gzip stream apart; its members' checksums are compared.

    Attributes:
        taken: Bytes of the stream so far.
        given: Decompressed bytes so far.
    """

    taken: int = 0
    given: int = 0
    _member: zlib._Decompress | None = None  # None between two members
    _members: int = 0

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Take what arrived, and yield what is in it, a step at a time.

        Raises:
            CorruptError: What arrived is damaged, or grows beyond bounds.
        """
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            yield from self._feed_slice(bytes(view[start : start + _SLICE]))

    def _feed_slice(self, rest: bytes) -> Iterator[bytes]:
        self.taken += len(rest)
        ready = b""  # of members that are too small to be worth a step each
        while True:
            if self._member is None:
                if self._members:
                    rest = rest.lstrip(b"\0")  # padding, as on tapes
                if not rest:
                    break
                self._member = zlib.decompressobj(_GZIP)
            try:
                piece = self._member.decompress(rest, _STEP)
            except zlib.error as error:
                raise CorruptError(f"the compressed stream is damaged ({error})") from None
            self.given += len(piece)
            self._check_bounds()
            if len(ready) + len(piece) > _STEP:
                yield ready
                ready = b""
            ready += piece
            if self._member.eof:
                rest, self._member = self._member.unused_data, None
                self._members += 1
            else:
                rest = self._member.unconsumed_tail
                if not rest and len(piece) < _STEP:
                    break
        if ready:
            yield ready

    @property
    def is_whole(self) -> bool:
        """Whether the stream may end here."""
        return self._member is None and self._members > 0

    def _check_bounds(self) -> None:
        if self.given > max(_MOST_UNCOMPRESSED, _MOST_RATIO * self.taken):
            raise CorruptError(f"{self.taken} bytes of the compressed stream grow to more than {self.given}")
        if self.taken > 2 * self.given + _MOST_WASTE:
            raise CorruptError(f"{self.taken} bytes of the compressed stream hold only {self.given}")
