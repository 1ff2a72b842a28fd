"""Writes small files, those of a crowded folder through a stage. Blocking."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from wbfiles_async._disk.part_file import write_whole
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._disk.staging import Stage, open_stage
from wbfiles_async.errors import LocalWriteError, UnsafePathError

__all__ = ["SmallFileWriter"]

CROWDED: Final = 4
"""Concurrent writers of a folder from which on they use a stage. Only a disk with latency is used by so many threads;
see ``SinkThreads`` and ``Disk``."""

log = logging.getLogger(__name__)


@attrs.define(eq=False)
class _Crowd:
    """The writers of a folder.

    Attributes:
        writers: Their number.
        lock: Held while a stage is created.
        stage: Their stage; ``None`` without one.
        may_stage: Whether a stage may be used; false after it has failed.
    """

    writers: int = 0
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    stage: Stage | None = None
    may_stage: bool = True

    def create_stage(self, target: TargetPath) -> None:
        """Create a stage, or wait until another thread has."""
        with self.lock:
            if self.stage is None and self.may_stage:
                try:
                    self.stage = open_stage(target)
                except (OSError, UnsafePathError) as error:
                    self.may_stage = False
                    log.info("Files in %s are not staged: %s", target.path.parent, error)


class SmallFileWriter:
    """Writes a client's small files, in any thread.

    A stage exists while a folder has writers, so the last one removes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._crowds: dict[tuple[Path, tuple[str, ...]], _Crowd] = {}

    def write(
        self, target: TargetPath, pieces: Sequence[bytes | memoryview], *, mode: int, replace: bool, durable: bool
    ) -> os.stat_result | None:
        """Write and publish a file, as ``write_whole`` does."""
        key = target.root, target.parts[:-1]
        with self._lock:
            crowd = self._crowds.get(key)
            if crowd is None:
                crowd = self._crowds[key] = _Crowd()
            crowd.writers += 1
            is_crowded = crowd.writers >= CROWDED and not durable and sys.platform == "linux"
        try:
            if is_crowded:
                crowd.create_stage(target)
            if crowd.stage is not None and crowd.may_stage and not durable:
                try:
                    return write_whole(target, pieces, mode=mode, replace=replace, durable=False, stage=crowd.stage)
                except LocalWriteError as error:  # if it is not due to the stage, it is raised below
                    crowd.may_stage = False
                    log.info("Files in %s are no longer staged: %s", target.path.parent, error)
            return write_whole(target, pieces, mode=mode, replace=replace, durable=durable)
        finally:
            with self._lock:
                crowd.writers -= 1
                is_last = not crowd.writers
                if is_last:
                    del self._crowds[key]
            if is_last and crowd.stage is not None:
                crowd.stage.remove()
