"""Decompresses a gzip stream as it arrives, in small steps and within bounds. Performs no I/O.

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
"""Bytes decompressed per step: a millisecond's work, whatever the next byte expands to."""

_SLICE: Final = 16 << 10
"""Bytes of the stream per step: zlib copies the remaining ones at the end of each member."""

_MOST_UNCOMPRESSED: Final = 256 << 20
_MOST_RATIO: Final = 100
"""Logs shrink to a tenth or a twentieth; a hundredth of more than a few hundred megabytes is a decompression bomb."""

_MOST_WASTE: Final = 1 << 20
"""Bytes by which a stream may exceed twice its content: gzip adds a few per 64 KiB."""

_GZIP: Final = 16 + zlib.MAX_WBITS


class CorruptError(ValueError):
    """It is not a gzip stream, or a damaged or hostile one."""


@attrs.define
class Gunzip:
    """Decodes a gzip stream and compares its members' checksums.

    Attributes:
        taken: Bytes of the stream so far.
        given: Decompressed bytes so far.
    """

    taken: int = 0
    given: int = 0
    _member: zlib._Decompress | None = None  # None between two members
    _members: int = 0

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Decode received bytes, and yield their content step by step.

        Raises:
            CorruptError: The bytes are damaged, or expand beyond bounds.
        """
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            yield from self._feed_slice(bytes(view[start : start + _SLICE]))

    def _feed_slice(self, rest: bytes) -> Iterator[bytes]:
        self.taken += len(rest)
        ready = b""  # of members that are too small for a step each
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
