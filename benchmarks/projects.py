"""A project of many runs with a few files each: the whole project, and runs given by their paths.

Run it alone: ``python -m benchmarks.projects``.
"""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import WBFILES_GET, ours_project, wandb_project
from benchmarks.data import StagedRun

PROJECTS = Comparison(
    name="projects",
    title="A project, with latency of each GraphQL request",
    says="About one GraphQL request for 50 runs, files included, and memory that does not grow with the runs. "
    "`wbfiles get` is timed as a whole process. At most two repetitions, since wandb takes long.",
    run=StagedRun(runs=5000, files=4, size=1024, latency=0.02),
    smoke=StagedRun(runs=60, files=2, size=1024, latency=0.001),
    contenders=(
        wandb_project("wandb, 16 threads", threads=16),
        ours_project("**wbfiles_async**"),
        WBFILES_GET,
    ),
    most=2,
)

PATHS = Comparison(
    name="paths",
    title="Runs given by their paths, with latency of each GraphQL request",
    says="At most 8 GraphQL requests for 200 runs; the aim is 4. One more is counted, before the clock runs.",
    run=StagedRun(runs=200, files=4, size=1024, latency=0.02),
    smoke=StagedRun(runs=3, files=2, size=1024, latency=0.001),
    contenders=(
        wandb_project("wandb, 16 threads", threads=16, paths=True),
        ours_project("**wbfiles_async**", paths=True),
    ),
)

if __name__ == "__main__":
    main([PROJECTS, PATHS])
