"""Mounts disks with slow metadata calls, like those of a network file system."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from benchmarks.store import running

_MOUNT_SECONDS = 10.0


@attrs.frozen
class SlowDisk:
    """A slow disk.

    Attributes:
        mounted: The slow mount.
        direct: The same folder, without the delay.
    """

    mounted: Path
    direct: Path


def obstacle() -> str:
    """Return why a slow disk cannot be mounted; an empty text if it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no FUSE here"
    return "" if shutil.which("fusermount3") else "no fusermount3 (Debian: fuse3)"


@contextmanager
def mounted(folder: Path, seconds: float) -> Iterator[SlowDisk]:
    """Mount a slow disk.

    Args:
        folder: The folder of its contents.
        seconds: The duration of each call.
    """
    name = f"{seconds * 1e6:.0f}us"
    disk = SlowDisk(folder / f"slow-{name}", folder / f"direct-{name}")
    disk.mounted.mkdir()
    disk.direct.mkdir()
    command = [sys.executable, "-m", "benchmarks.slow_disk_server", str(disk.direct), str(seconds), str(disk.mounted)]
    with running(command, pass_fds=[]):
        deadline = time.monotonic() + _MOUNT_SECONDS
        while not os.path.ismount(disk.mounted):
            if time.monotonic() > deadline:
                raise RuntimeError("the slow disk could not be mounted")
            time.sleep(0.01)
        yield disk
