"""Free memory that a virtual machine does not return to its host.

Many hosts take back what their machines free (free page reporting), in blocks of 2 MiB. Then each page of a new file in
memory costs several microseconds, and how many pages do so changes from run to run. Single free pages between used ones
are never returned, and are the first to be used again.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_MADV_POPULATE_WRITE: Final = 23
"""Linux's advice to get all pages now, which Python does not name."""


@contextmanager
def kept(size: int) -> Iterator[None]:
    """Keep about this many bytes free in single pages, by using as many for nothing."""
    if sys.platform != "linux":
        sys.exit("Only Linux can keep memory.")
    with mmap.mmap(-1, 2 * size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        memory.madvise(_MADV_POPULATE_WRITE)
        for page in range(0, 2 * size, 2 * mmap.PAGESIZE):
            memory.madvise(mmap.MADV_DONTNEED, page, mmap.PAGESIZE)
        yield
