"""A project on several workers: the time by their number, and the load on the API.

Run it alone: ``python -m benchmarks.cluster``.
"""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import ours_plan
from benchmarks.data import StagedRun

PLAN = Comparison(
    name="plan",
    title="A plan of a large project, with latency of each GraphQL request",
    says="One request per 1,000 runs, each with its number of files.",
    run=StagedRun(runs=20_000, files=3, size=1024, distinct=False, latency=0.02),
    smoke=StagedRun(runs=40, files=3, size=1024, distinct=False, latency=0.001),
    contenders=(ours_plan("**wbfiles_async**, Plan.make", "plan", 1, 1),),
    most=3,
    rehearse=True,
)

CLUSTER = Comparison(
    name="cluster",
    title="A project on several workers, distant store",
    says="Each response of the store begins after 50 ms, and each worker may have 4 connections: so the number of "
    "workers decides, not this machine's two processors. Chunks are of 5 runs. The ratio is that to one worker.",
    run=StagedRun(runs=100, files=10, size=16 * 1024, distinct=False, latency=0.02, first_byte=0.05),
    smoke=StagedRun(runs=20, files=3, size=1024, distinct=False, latency=0.001, first_byte=0.005),
    contenders=(
        ours_plan("1 process", "pool", 1, 4),
        ours_plan("2 processes", "pool", 2, 4),
        ours_plan("4 processes", "pool", 4, 4),
        ours_plan("8 processes", "pool", 8, 4),
        ours_plan("Dask, 4 workers", "dask", 4, 4),
    ),
    most=5,
)

if __name__ == "__main__":
    main([PLAN, CLUSTER])
