"""Without ``await``: one call for all files, and one call per file, from one thread and from many.

Run it alone: ``python -m benchmarks.facade``.
"""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import WANDB, WANDB_16, ours, ours_blocking
from benchmarks.data import StagedRun

FACADE = Comparison(
    name="facade",
    title="Without `await`",
    says="`run.download()` should cost the same as its async form. `file.fetch()`, sequentially or in 16 threads, "
    "is typical of scripts ported from wandb.",
    run=StagedRun(files=5000, size=16 * 1024),
    smoke=StagedRun(files=40, size=1024),
    contenders=(
        WANDB_16,
        WANDB,
        ours("wbfiles_async, `await run.download()`", "download"),
        ours_blocking("**wbfiles_async, `run.download()`**", "download"),
        ours_blocking("**wbfiles_async, `file.fetch()` in 16 threads**", "fetch", threads=16),
        ours_blocking("**wbfiles_async, `file.fetch()`**", "fetch"),
    ),
)

if __name__ == "__main__":
    main([FACADE])
