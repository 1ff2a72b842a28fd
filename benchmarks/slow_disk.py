"""A network disk: each metadata call has a latency.

Run it alone: ``python -m benchmarks.slow_disk [--call MILLISECONDS]``.
"""

import argparse

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import ARIA2C, CURL, WANDB_16, ours
from benchmarks.data import StagedRun


def slow_disk(call: float) -> list[Comparison]:
    """Return the comparisons with a disk whose metadata calls take this many seconds."""
    says = f"Each metadata call takes {call * 1000:g} ms (`slow_disk_server.py`)."
    run, smoke = StagedRun(files=500, size=16 * 1024, slow_disk=call), StagedRun(files=40, size=1024, slow_disk=call)
    return [
        Comparison(
            name="slow-disk",
            title="A disk with latency, many small files",
            says=f"{says} At least 0.8× of wandb with 16 threads, verified; the aim is 1.2×.",
            run=run,
            smoke=smoke,
            contenders=(
                WANDB_16,
                ARIA2C,
                CURL,
                ours("**wbfiles_async**", "download"),
                ours("wbfiles_async, `file.fetch()`", "fetch"),
            ),
        ),
        Comparison(
            name="slow-disk-again",
            title="A disk with latency, all files present",
            says=f"{says} Each file's md5 is compared, or by default only whether the file has changed since.",
            run=run,
            smoke=smoke,
            contenders=(
                ours("**wbfiles_async, `remember=False`**", "again", remember=False),
                ours("wbfiles_async", "again"),
            ),
        ),
    ]


SLOW_DISK = slow_disk(0.001)

if __name__ == "__main__":
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--call", type=float, default=1, metavar="MS", help="milliseconds that each metadata call takes (default: 1)"
    )
    main(slow_disk(options.parse_known_args()[0].call / 1000), options=[options])
