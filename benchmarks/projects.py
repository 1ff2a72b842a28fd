"""A whole project of many runs with a few files each. Run it alone: ``python -m benchmarks.projects``."""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import WBFILES_GET, ours_project, wandb_project
from benchmarks.data import StagedRun

PROJECTS = Comparison(
    name="projects",
    title="A project, with latency of each GraphQL request",
    says="About one GraphQL request for 50 runs, files included, and memory that does not grow with the runs. "
    "`wbfiles get` is timed as a whole process. Done twice at most, since wandb takes long.",
    run=StagedRun(runs=5000, files=4, size=1024, latency=0.02),
    smoke=StagedRun(runs=60, files=2, size=1024, latency=0.001),
    contenders=(
        wandb_project("wandb, 16 threads", threads=16),
        ours_project("**wbfiles_async**"),
        WBFILES_GET,
    ),
    most=2,
)

if __name__ == "__main__":
    main([PROJECTS])
