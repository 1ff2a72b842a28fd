"""A distant store: each response begins late.

Run it alone: ``python -m benchmarks.distant [--latency MILLISECONDS]``.
"""

import argparse

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import (
    ARIA2C,
    CURL,
    WANDB,
    WANDB_16,
    WANDB_VERIFIED,
    aria2c,
    curl,
    md5_alone,
    ours,
)
from benchmarks.data import MIB, StagedRun
from benchmarks.store import LIMIT

_SMALL = (
    WANDB_16,
    aria2c(64),
    curl(300),  # as many as it can
    ours("**wbfiles_async**", "download"),
    ours("wbfiles_async, `verify=False`", "download", verify=False),
)
_LARGE = (
    WANDB,
    WANDB_VERIFIED,
    ARIA2C,  # as many as it can
    CURL,
    md5_alone(),
    ours("**wbfiles_async**", "fetch"),
    ours("**wbfiles_async, `verify=False`**", "fetch", verify=False),
)


def distant(latency: float) -> list[Comparison]:
    """Return the comparisons with a store whose responses begin after this delay, in seconds."""
    milliseconds = f"{latency * 1000:g} ms"
    return [
        Comparison(
            name="distant-small",
            title="A distant store, many small files",
            says=f"Each response of the store begins after {milliseconds}. At least 8× of wandb with 16 threads, "
            "verified; the aim is 12×.",
            run=StagedRun(files=5000, size=16 * 1024, first_byte=latency),
            smoke=StagedRun(files=40, size=1024, first_byte=0.005),
            contenders=_SMALL,
        ),
        Comparison(
            name="distant-medium",
            title="A distant store, files of a megabyte",
            says=f"Each response of the store begins after {milliseconds}. At least 4× of wandb with 16 threads, "
            "verified; the aim is 8×.",
            run=StagedRun(files=400, size=MIB, first_byte=latency),
            smoke=None,
            contenders=_SMALL,
        ),
        Comparison(
            name="distant-large",
            title="A distant store, one large file",
            says=f"Each response of the store begins after {milliseconds}. Unverified at least 1.2× of wandb, the aim "
            "is 1.5×; verified at least 0.7×, the aim is 0.9 of md5's own rate.",
            run=StagedRun(size=256 * MIB, first_byte=latency),
            smoke=None,
            contenders=_LARGE,
        ),
        Comparison(
            name="distant-limited",
            title=f"A distant store that gives {LIMIT / 1e6:.0f} MB/s per connection",
            says=f"Each response of the store begins after {milliseconds}. Verified at least 7× of wandb; the aim is "
            "10×.",
            run=StagedRun(size=256 * MIB, door="limited", first_byte=latency),
            smoke=None,
            contenders=_LARGE,
        ),
    ]


DISTANT = distant(0.05)

if __name__ == "__main__":
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--latency",
        type=float,
        default=50,
        metavar="MS",
        help="milliseconds until the store begins a response (default: 50)",
    )
    main(distant(options.parse_known_args()[0].latency / 1000), options=[options])
