"""Without ``await``: one call for all files, and a call for each from many threads.

Run it alone: ``python -m benchmarks.facade``.
"""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import WANDB_16, ours, ours_blocking
from benchmarks.data import StagedRun

FACADE = Comparison(
    name="facade",
    title="Without `await`",
    says="`run.download()` should cost what its async form does; `file.fetch()` in 16 threads is what scripts that "
    "move over from wandb do.",
    run=StagedRun(files=5000, size=16 * 1024),
    smoke=StagedRun(files=40, size=1024),
    contenders=(
        WANDB_16,
        ours("wbfiles_async, `await run.download()`", "download"),
        ours_blocking("**wbfiles_async, `run.download()`**", threads=1),
        ours_blocking("**wbfiles_async, `file.fetch()` in 16 threads**", threads=16),
    ),
)

if __name__ == "__main__":
    main([FACADE])
