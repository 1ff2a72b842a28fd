"""Downloads a run as onto a disk with latency, and stops before the first file is published from a stage.

python staged_download.py RUN ROOT

Prints a line then.
"""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from wbfiles_async import Api, _waiting
from wbfiles_async._disk.posix import PosixFile

link, write = os.link, PosixFile.write


def link_in_one_folder(name: str, target: str, *, src_dir_fd: int, dst_dir_fd: int, follow_symlinks: bool) -> None:
    if src_dir_fd != dst_dir_fd:
        os.write(1, b"staged\n")  # whole lines from several threads
        threading.Event().wait()
    link(name, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)


def write_slowly(file: PosixFile, data: bytes | memoryview, offset: int) -> int:
    time.sleep(0.01)
    return write(file, data, offset)


if __name__ == "__main__":
    patch = pytest.MonkeyPatch()
    for name, value in {"LONG_WAIT": -1.0, "_LOCK_WAIT": 1e9, "_JUDGED": 1}.items():
        patch.setattr(_waiting, name, value)
    patch.setattr(os, "link", link_in_one_folder)
    patch.setattr(PosixFile, "write", write_slowly)
    with Api() as api:
        api.run(sys.argv[1]).download(sys.argv[2])
