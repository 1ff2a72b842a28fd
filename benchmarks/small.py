"""Many small files, for the cost per file, and files of a megabyte, where bytes matter too.

Run it alone: ``python -m benchmarks.small``.
"""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import ARIA2C, CURL, HTTPX, WANDB, WANDB_16, ours
from benchmarks.data import MIB, StagedRun

SMALL = Comparison(
    name="small",
    title="Many small files",
    says="At least 2× of wandb with 16 threads, verified; the aim is 2.5×, and the speed of aria2c. "
    "curl, aria2c and httpx are given the URLs; the others list the files within the time.",
    run=StagedRun(files=5000, size=16 * 1024),
    smoke=StagedRun(files=40, size=1024),
    contenders=(
        WANDB_16,
        WANDB,
        HTTPX,
        ARIA2C,
        CURL,
        ours("**wbfiles_async**", "download"),
        ours("wbfiles_async, `verify=False`", "download", verify=False),
    ),
)

MEDIUM = Comparison(
    name="medium",
    title="Files of a megabyte",
    says="Too large for the cost per file to dominate, too small for parts.",
    run=StagedRun(files=400, size=MIB),
    smoke=None,
    contenders=SMALL.contenders,
)

if __name__ == "__main__":
    main([SMALL, MEDIUM])
