"""Divides runs and files among workers by a hash of their names. Performs no I/O."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import attrs

__all__ = ["HUGE_FILES", "Share", "parse_share"]

HUGE_FILES: Final = 10_000
"""Minimum files of a run that is divided among all workers, since it would keep one of them busy too long."""

_SHARE: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@attrs.frozen
class Share:
    """One of several equal shares. Adding or removing items moves no others.

    Attributes:
        number: Its number, from 0. count: The number of shares.
    """

    number: int
    count: int

    def holds(self, name: str) -> bool:
        """Return whether the item with this name belongs to the share."""
        digest = hashlib.md5(name.encode(errors="surrogatepass"), usedforsecurity=False).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_share(text: str) -> Share:
    """Parse a share ``I/N``, with I from 0 to N-1.

    Raises:
        ValueError: It is invalid.
    """
    match = _SHARE.fullmatch(text.strip())
    if match is None or not int(match[1]) < int(match[2]):
        raise ValueError(f"{text!r} is not a shard I/N with I from 0 to N-1, such as 0/4 for the first of four.")
    return Share(int(match[1]), int(match[2]))
