"""The contents of a project of very many runs, without downloading it.

Run it alone: ``python -m benchmarks.overview``.
"""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import ours_overview, wandb_overview
from benchmarks.data import StagedRun

OVERVIEW = Comparison(
    name="overview",
    title="Listing a large project, with latency of each GraphQL request",
    says="One GraphQL request for 50 runs with their files (a quarter of them more for shards, each of which lists all "
    "runs' ids, up to 1,000 a request); one more is counted, before the clock runs. Memory grows with neither runs nor "
    "files, but for the deletion, which keeps what it would delete.",
    run=StagedRun(runs=20_000, files=3, size=1024, distinct=False, latency=0.02),
    smoke=StagedRun(runs=120, files=3, size=1024, distinct=False, latency=0.001),
    contenders=(
        ours_overview("**wbfiles_async**, files()", "files"),
        ours_overview("**wbfiles_async**, du", "du"),
        ours_overview("**wbfiles_async**, delete(dry_run=True)", "delete"),
        ours_overview("**wbfiles_async**, 4 shards in turn", "4"),
    ),
    most=3,
    rehearse=True,
)

SAMPLE = Comparison(
    name="overview_sample",
    title="A sample of it, compared with wandb",
    says="`wandb` lists the files of each run by a request of its own, here in 16 threads.",
    run=StagedRun(runs=1_000, files=3, size=1024, distinct=False, latency=0.02),
    smoke=StagedRun(runs=20, files=3, size=1024, distinct=False, latency=0.001),
    contenders=(
        wandb_overview("wandb, 16 threads", threads=16),
        ours_overview("**wbfiles_async**, du", "du"),
        ours_overview("**wbfiles_async**, delete(dry_run=True)", "delete"),
    ),
    most=3,
    rehearse=True,
)

if __name__ == "__main__":
    main([OVERVIEW, SAMPLE])
