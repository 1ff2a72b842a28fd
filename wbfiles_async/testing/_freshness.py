"""When a time stamp of the file system can be trusted to tell a change. Reads the clock, and nothing else."""

from __future__ import annotations

import time

_SETTLED_AFTER_NS = 2_000_000_000
"""Two seconds: the coarsest stamps in use are FAT's."""


def is_settled(mtime_ns: int) -> bool:
    """Return whether any later change is sure to carry another time stamp.

    Two changes within one tick of the file system's clock share a stamp, so what was read right after a
    change must not be remembered under it. Git treats its index the same way.

    Args:
        mtime_ns: The stamp, in nanoseconds since the epoch, as it was when the reading began.
    """
    return time.time_ns() - mtime_ns > _SETTLED_AFTER_NS
