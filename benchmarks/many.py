"""Very many files: does memory grow with them? Run it alone: ``python -m benchmarks.many``."""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import ARIA2C, CURL, WANDB_16, ours
from benchmarks.data import StagedRun

MANY = Comparison(
    name="many",
    title="Very many files",
    says="Peak memory at most 200 MiB; the aim is 100 MiB. At most two repetitions, "
    "since they take long and memory varies little.",
    run=StagedRun(files=100_000, size=1024, distinct=False),
    smoke=StagedRun(files=200, size=1024, distinct=False),
    contenders=(WANDB_16, ARIA2C, CURL, ours("**wbfiles_async**", "download")),
    most=2,
)

if __name__ == "__main__":
    main([MANY])
