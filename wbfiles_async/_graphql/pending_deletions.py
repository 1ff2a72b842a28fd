"""Stores the files to delete in little memory. Performs no I/O."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from wbfiles_async._models import FileAttributes, ProjectPath, RunPath

__all__ = ["BATCH", "FileOfRun", "PendingDeletions"]

# Files per mutation: enough that the request's overhead is small, and few enough that a server with 0.1 s per file
# finishes before the API's timeout. W&B states no limit.
BATCH: Final = 100
_FASTEST: Final = 1


@attrs.frozen
class FileOfRun:
    """A file and its run.

    Attributes:
        run: The run.
        file: The file's attributes.
    """

    run: RunPath
    file: FileAttributes


class PendingDeletions:
    """The files of one project to delete: the attributes that the server and a report need, compressed batch by batch.

    A million files take 10 to 50 MB; their attributes, with the signed URLs, would take two thousand.

    Args:
        project: The project.

    Attributes:
        files: Their number.
        bytes: Their total length, as far as known.
        runs: The number of their runs, if the files of a run are added consecutively.
    """

    def __init__(self, project: ProjectPath) -> None:
        self.project = project
        self.files = self.bytes = self.runs = 0
        self._packed: list[bytes] = []
        self._open: list[tuple[str, str, str, int | None]] = []
        self._last_run = ""

    def add(self, run_id: str, listed: Iterable[FileAttributes]) -> None:
        """Add files of a run."""
        for file in listed:
            if run_id != self._last_run:
                self._last_run = run_id
                self.runs += 1
            self.files += 1
            self.bytes += file.size_bytes or 0
            self._open.append((run_id, file.id, file.name, file.size_bytes))
            if len(self._open) == BATCH:
                self._packed.append(zlib.compress(json.dumps(self._open).encode(), _FASTEST))
                self._open.clear()

    def batches(self) -> Iterator[list[FileOfRun]]:
        """Iterate over batches of up to `BATCH` files, in the order of the listing."""
        for packed in self._packed:
            yield [self._file(*each) for each in json.loads(zlib.decompress(packed))]
        if self._open:
            yield [self._file(*each) for each in self._open]

    def __iter__(self) -> Iterator[FileOfRun]:
        """Iterate over the files, with only id, name and size."""
        for batch in self.batches():
            yield from batch

    def _file(self, run_id: str, identity: str, name: str, size: int | None) -> FileOfRun:
        run = RunPath(self.project.entity, self.project.project, run_id)
        return FileOfRun(run, FileAttributes(id=identity, name=name, size_bytes=size))
