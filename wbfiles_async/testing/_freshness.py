"""Decides whether a modification time reveals all later changes. Reads the clock; performs no other I/O."""

from __future__ import annotations

import time

_SETTLED_AFTER_NS = 2_000_000_000
"""Nanoseconds: two seconds, the resolution of modification times on FAT, the coarsest in use."""


def is_settled(mtime_ns: int) -> bool:
    """Return whether any later change will have another modification time.

    Two changes within one tick of the file system's clock have the same time, so contents that were read right after a
    change must not be cached by it. Git treats its index the same way.

    Args:
        mtime_ns: The modification time before the contents were read, in nanoseconds since the epoch.
    """
    return time.time_ns() - mtime_ns > _SETTLED_AFTER_NS
