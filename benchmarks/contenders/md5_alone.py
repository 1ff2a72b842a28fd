"""The md5 of as many bytes in memory: the lower bound for verified downloads.

python -m benchmarks.contenders.md5_alone BYTES
"""

from __future__ import annotations

import hashlib
import os
import sys

from benchmarks.contenders.reporting import Stopwatch, report
from benchmarks.data import MIB


def _main(size: int) -> None:
    block = memoryview(os.urandom(MIB))
    digest = hashlib.md5()
    with Stopwatch() as watch:
        for start in range(0, size, MIB):
            digest.update(block[: size - start])
    report(watch.seconds, files=1)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
