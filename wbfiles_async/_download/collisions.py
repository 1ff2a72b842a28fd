"""Detects remote names that would be the same local file. Performs no I/O.

Equal names always collide; names that differ in case or the form of accents collide if the disk treats them as
equal, which is checked only for such names. A listing arrives page by page and may have a million files, so only
eight bytes of a name are kept, or sixteen if it is not its own key: 12 to 48 bytes per file with the table's free
slots.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from wbfiles_async._disk.names import collision_key
from wbfiles_async.errors import NameCollisionError

__all__ = ["Collision", "Collisions"]

# Each table grows separately, so that no single step takes long, however many files there are.
_TABLES: Final = 64
_FIRST_SLOTS: Final = 16
_FILE, _FOLDER = 1, 0
_EXACT, _KEY = 2, 0
_KINDS: Final = 0b11  # the bits of a digest that select one

_Path = tuple[str, ...]


@attrs.frozen
class Collision:
    """A collision, the reason for refusing a file.

    Attributes:
        other: The other file's path below the root; empty if it was on an earlier page.
        nested: Whether one of the two is a folder of the other, rather than the same file.
        repeated: Whether both have exactly the same name.
    """

    other: str
    nested: bool
    repeated: bool = False

    def error(self, name: str) -> NameCollisionError:
        """Return the error for the refused file of this remote name."""
        other = repr(self.other) if self.other else "a file that was listed before it"
        advice = "Download them separately, into different roots"
        if self.repeated:
            what, advice = "is listed twice", f"{advice}, or delete the one that is too many"
        elif self.nested:
            what = f"and {other} need one name for a file and for a folder"
        else:
            what = f"and {other} are one file on this disk"
        fate = "neither is written" if self.other else "the earlier one stays, this one is not written"
        return NameCollisionError(
            f"the remote file {name!r} {what}; {fate}. {advice}.",
            name=name,
            other=self.other,
        )


@attrs.frozen
class _Digests:
    """The digests of a path.

    Attributes:
        file: The digest of the whole.
        folders: Those of its folders, the outermost first.
    """

    file: int
    folders: tuple[int, ...]


class Collisions:
    """The local paths of one bulk download, as far as listed.

    Of names that collide on one page none is accepted.

    A name that collides with one of an earlier page is refused, since the earlier file may be published already. So
    no file ever replaces another one. Two different names count as equal with a probability of 1 in 10⁷ in a million
    files.

    Args:
        secret: Random bytes that salt the digests, so that nobody can construct collisions.
        folds: Returns whether the disk treats names that differ in case or the form of accents as equal, in any of
            the folders of a path. Called only for paths where that matters. By default always true.
        nests: Whether a name may be both a file and a folder, as in object stores.
    """

    def __init__(self, secret: bytes, folds: Callable[[_Path], bool] = lambda _: True, *, nests: bool = False) -> None:
        self._nests = nests
        self._root = hashlib.blake2b(digest_size=8, key=secret)
        self._folds = folds
        self._tables = [_Table() for _ in range(_TABLES)]

    def admit(self, paths: Sequence[_Path]) -> list[Collision | None]:
        """Check the files of one page, and record them.

        Args:
            paths: The components of each file's path below the root.

        Returns:
            The collision of each file; ``None`` for a file that may be written.
        """
        names = ["/".join(parts) for parts in paths]
        if self._nests:  # then no part of a name is a folder
            names = [name.replace("/", "\0") for name in names]
        keys = list(map(collision_key, names))
        exact = self._digests(names)
        folded = exact if keys == names else self._digests(keys)
        found: list[Collision | None] = [None] * len(paths)
        _find_among(exact, paths, found, lambda _: True)
        self._find_earlier(exact, paths, found, (_EXACT,), lambda _: True)
        if folded is not exact:
            _find_among(folded, paths, found, self._folds)
        self._find_earlier(folded, paths, found, (_KEY,) if folded is exact else (_KEY, _EXACT), self._folds)
        self._remember(exact, folded)
        return found

    def _digests(self, paths: Iterable[str]) -> list[_Digests]:
        folders = {"": (self._root, tuple[int, ...]())}
        digests = []
        for path in paths:
            folder, _, name = path.rpartition("/")
            if folder not in folders:
                folders[folder] = self._walk(folder)
            above, numbers = folders[folder]
            digests.append(_Digests(_number_of(_entered(above, name)), numbers))
        return digests

    def _walk(self, folder: str) -> tuple[hashlib.blake2b, tuple[int, ...]]:
        digest, numbers = self._root, []
        for part in folder.split("/"):
            digest = _entered(digest, part)
            numbers.append(_number_of(digest))
        return digest, tuple(numbers)

    def _find_earlier(
        self,
        files: Sequence[_Digests],
        paths: Sequence[_Path],
        found: list[Collision | None],
        kinds: Sequence[int],
        are_one: Callable[[_Path], bool],
    ) -> None:
        """Find the collisions of files with those of earlier pages."""
        above = dict.fromkeys({file.folders for file in files}, False)
        for kind in kinds:
            files_before = {folder for folders in above for folder in folders if self._holds(folder | _FILE | kind)}
            if files_before:
                above = {folders: known or not files_before.isdisjoint(folders) for folders, known in above.items()}
        for number, file in enumerate(files):
            same = nested = False
            for kind in kinds:
                same = same or self._holds(file.file | _FILE | kind)
                nested = nested or self._holds(file.file | _FOLDER | kind)
            nested = nested or above[file.folders]
            if (same or nested) and found[number] is None and are_one(paths[number]):
                found[number] = Collision("", nested=not same, repeated=same and kinds == (_EXACT,))

    def _remember(self, exact: Sequence[_Digests], folded: Sequence[_Digests]) -> None:
        entries = {name.file | _FILE | _EXACT for name in exact}
        entries.update(folder | _FOLDER | _EXACT for folders in {name.folders for name in exact} for folder in folders)
        if folded is not exact:  # a name that is its own key is found by that key
            pairs = list(zip(exact, folded, strict=True))
            entries.update(key.file | _FILE | _KEY for name, key in pairs if key.file != name.file)
            for folders, keys in {(name.folders, key.folders) for name, key in pairs}:
                each = zip(folders, keys, strict=True)
                entries.update(key | _FOLDER | _KEY for folder, key in each if folder != key)
        for entry in entries:
            self._table(entry).add(entry)

    def _holds(self, entry: int) -> bool:
        return self._table(entry).holds(entry)

    def _table(self, digest: int) -> _Table:
        return self._tables[(digest >> 2) % _TABLES]


def _entered(digest: hashlib.blake2b, part: str) -> hashlib.blake2b:
    inner = digest.copy()
    inner.update(part.encode() + b"/")
    return inner


def _number_of(digest: hashlib.blake2b) -> int:
    return int.from_bytes(digest.digest(), "big") & ~_KINDS


def _find_among(
    files: Sequence[_Digests],
    paths: Sequence[_Path],
    found: list[Collision | None],
    are_one: Callable[[_Path], bool],
) -> None:
    """Find the collisions of files of one page; both sides of each are reported."""

    def collide(one: int, other: int, *, nested: bool) -> None:
        known = found[one] is not None and found[other] is not None
        if not known and (are_one(paths[one]) or are_one(paths[other])):
            repeated = paths[one] == paths[other]
            found[one] = found[one] or Collision("/".join(paths[other]), nested, repeated)
            found[other] = found[other] or Collision("/".join(paths[one]), nested, repeated)

    firsts: dict[int, int] = {}
    for number, file in enumerate(files):
        first = firsts.setdefault(file.file, number)
        if first != number:
            collide(first, number, nested=False)
    for number, file in enumerate(files):
        for folder in file.folders:
            if folder in firsts:
                collide(firsts[folder], number, nested=True)


class _Table:
    """A set of non-zero 64-bit numbers in 8 bytes each, a tenth of a set of ``int`` objects."""

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
        """Return the slot of the number, or a free one for it."""
        slots = self._slots
        last = len(slots) - 1
        # Not the lowest bits: they chose the table, and sets hand their numbers out in the order of these, which
        # would fill a table that still grows in clusters.
        at = (number >> 32) & last
        while slots[at] and slots[at] != number:
            at = (at + 1) & last
        return at
