"""Listing, when each answer of the API takes its time. Run it alone: ``python -m benchmarks.listing``."""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import ours, wandb
from benchmarks.data import StagedRun

LISTING = Comparison(
    name="listing",
    title="Listing, with latency of each GraphQL request",
    says="At least 10× of wandb as it is; the aim is one round trip more than the fewest possible.",
    run=StagedRun(files=5000, size=1024, distinct=False, latency=0.02),
    smoke=StagedRun(files=120, size=1024, distinct=False, latency=0.001),
    contenders=(
        wandb("wandb, 50 a page (its default)", "list", per_page=50),
        wandb("wandb, 1,000 a page", "list"),
        ours("**wbfiles_async**", "list"),
    ),
)

if __name__ == "__main__":
    main([LISTING])
