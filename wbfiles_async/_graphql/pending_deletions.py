"""Keeps which files are to be deleted, in little memory. Performs no I/O."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from wbfiles_async._models import FileAttributes

__all__ = ["BATCH", "PendingDeletions"]

# Files that one mutation deletes. Enough to make the request cheap beside the work, and few enough that a
# server which takes 0.1 s for each is done before the API's time-out. W&B states no limit.
BATCH: Final = 100
_FASTEST: Final = 1


class PendingDeletions:
    """The files to delete: what the server and a report need of each, compressed batch by batch.

    A million files take 10 to 50 MB; their attributes, with the signed URLs, would take two thousand.

    Attributes:
        files: How many.
        bytes: Their length together, as far as it is known.
    """

    def __init__(self) -> None:
        self.files = self.bytes = 0
        self._packed: list[bytes] = []
        self._open: list[tuple[str, str, int | None]] = []

    def add(self, listed: Iterable[FileAttributes]) -> None:
        """Add files."""
        for file in listed:
            self.files += 1
            self.bytes += file.size_bytes or 0
            self._open.append((file.id, file.name, file.size_bytes))
            if len(self._open) == BATCH:
                self._packed.append(zlib.compress(json.dumps(self._open).encode(), _FASTEST))
                self._open.clear()

    def batches(self) -> Iterator[list[FileAttributes]]:
        """Iterate over the files, at most `BATCH` at a time, in the order of the listing."""
        for packed in self._packed:
            yield [_file(*each) for each in json.loads(zlib.decompress(packed))]
        if self._open:
            yield [_file(*each) for each in self._open]

    def __iter__(self) -> Iterator[FileAttributes]:
        """Iterate over the files; of their attributes, id, name and size are known."""
        for batch in self.batches():
            yield from batch


def _file(identity: str, name: str, size: int | None) -> FileAttributes:
    return FileAttributes(id=identity, name=name, size_bytes=size)
