"""The md5 of a folder's files, by hashlib: the lower bound for verified uploads.

python -m benchmarks.contenders.md5_of_files FOLDER
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from benchmarks.contenders.reporting import Stopwatch, report


def _main(folder: str) -> None:
    paths = sorted(Path(folder).iterdir())
    with Stopwatch() as watch:
        for path in paths:
            with path.open("rb") as file:
                hashlib.file_digest(file, "md5")
    report(watch.seconds, files=len(paths))


if __name__ == "__main__":
    _main(sys.argv[1])
