"""Notice remote names that some file system would take for one file. Performs no I/O.

A listing comes page by page and may hold a million files, so what is kept of a name is eight bytes: 12 to 24 bytes
a file with the table's free room, where the names themselves would take 100 and more.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from wbfiles_async._protocol.names import collision_key
from wbfiles_async.errors import NameCollisionError

__all__ = ["Collision", "Collisions"]

# Each table grows by itself, so that no single step takes long however many files there are.
_TABLES: Final = 64
_FIRST_SLOTS: Final = 16
_FILE, _FOLDER = 1, 0


@attrs.frozen
class Collision:
    """Why a file is refused.

    Attributes:
        other: The other file's path below the root; empty where it came with an earlier page.
        nested: Whether one of the two is a folder of the other, and not both the same file.
    """

    other: str
    nested: bool

    def error(self, name: str) -> NameCollisionError:
        """Return the error of the refused file of this remote name."""
        other = repr(self.other) if self.other else "a file that was listed before it"
        what = (
            f"and {other} need one name for a file and for a folder"
            if self.nested
            else f"and {other} are one file where case or the form of accents does not count"
        )
        fate = "neither is written" if self.other else "the earlier one stays, this one is not written"
        return NameCollisionError(
            f"the remote file {name!r} {what}; {fate}. Download them separately, into different roots.",
            name=name,
            other=self.other,
        )


class Collisions:
    """The local files of one bulk download, as far as they have been listed.

    Of names that collide and come together none is admitted; one that collides with a name admitted before is
    refused, and the earlier one stays, since it may be in place by then. So no file ever replaces another one.

    Two different names are taken for one with a probability of 3 in 10⁸ in a million files.

    Args:
        secret: Random bytes on which the digests depend, so that nobody can choose names that are taken for one.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._tables = [_Table() for _ in range(_TABLES)]

    def admit(self, paths: Sequence[tuple[str, ...]]) -> list[Collision | None]:
        """Judge the files that come together, and remember them.

        Args:
            paths: The components of each file's path below the root.

        Returns:
            What each one collides with; ``None`` for a file that may be written.
        """
        files, folders = [], set[int]()
        for parts in paths:
            *above, file = self._digests(parts)
            files.append((file, above))
            folders.update(above)
        collisions = _among(files, paths)
        taken = {folder for folder in folders if self._holds(folder, _FILE)}
        for number, (file, above) in enumerate(files):
            if collisions[number] is None:
                if self._holds(file, _FILE):
                    collisions[number] = Collision("", nested=False)
                elif self._holds(file, _FOLDER) or not taken.isdisjoint(above):
                    collisions[number] = Collision("", nested=True)
        for file, _ in files:
            self._add(file, _FILE)
        for folder in folders:
            self._add(folder, _FOLDER)
        return collisions

    def _digests(self, parts: Sequence[str]) -> Iterator[int]:
        """Yield a digest for each folder that a file lies in, the outermost first, and at last the file's own."""
        digest = hashlib.blake2b(digest_size=8, key=self._secret)
        for part in collision_key("/".join(parts)).split("/"):
            digest.update(part.encode() + b"/")
            yield int.from_bytes(digest.digest(), "big") & ~1  # the last bit tells files from folders

    def _holds(self, digest: int, kind: int) -> bool:
        return self._table(digest).holds(digest | kind)

    def _add(self, digest: int, kind: int) -> None:
        self._table(digest).add(digest | kind)

    def _table(self, digest: int) -> _Table:
        return self._tables[(digest >> 1) % _TABLES]


def _among(files: Sequence[tuple[int, Sequence[int]]], paths: Sequence[tuple[str, ...]]) -> list[Collision | None]:
    """Find the collisions of files that come together; both sides of each are told of it.

    Args:
        files: The digest of each file, and those of the folders that it lies in.
        paths: The same files' paths.
    """
    collisions: list[Collision | None] = [None] * len(files)

    def collide(one: int, other: int, *, nested: bool) -> None:
        collisions[one] = collisions[one] or Collision("/".join(paths[other]), nested)
        collisions[other] = collisions[other] or Collision("/".join(paths[one]), nested)

    firsts: dict[int, int] = {}
    for number, (file, _) in enumerate(files):
        first = firsts.setdefault(file, number)
        if first != number:
            collide(first, number, nested=False)
    for number, (_, above) in enumerate(files):
        for folder in above:
            if folder in firsts:
                collide(firsts[folder], number, nested=True)
    return collisions


class _Table:
    """A set of 64-bit numbers other than 0 in 8 bytes each, where a set of ``int`` objects takes ten times as much."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FIRST_SLOTS))
        self._count = 0

    def holds(self, number: int) -> bool:
        return self._slots[self._find(number)] == number

    def add(self, number: int) -> None:
        at = self._find(number)
        if self._slots[at] == number:
            return
        self._slots[at] = number
        self._count += 1
        if self._count * 3 > len(self._slots) * 2:
            old = self._slots
            self._slots = array("Q", bytes(16 * len(old)))
            for kept in filter(None, old):
                self._slots[self._find(kept)] = kept

    def _find(self, number: int) -> int:
        """Find the slot that the number is in, or else may be put into."""
        slots = self._slots
        last = len(slots) - 1
        at = (number >> 8) & last  # the lowest bits chose the table
        while slots[at] and slots[at] != number:
            at = (at + 1) & last
        return at
