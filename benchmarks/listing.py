"""Listing, with latency of each response of the API. Run it alone: ``python -m benchmarks.listing``."""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import ours, wandb
from benchmarks.data import StagedRun

LISTING = Comparison(
    name="listing",
    title="Listing, with latency of each GraphQL request",
    says="At least 10× of wandb with its defaults; the aim is at most one round trip more than necessary.",
    run=StagedRun(files=5000, size=1024, distinct=False, latency=0.02),
    smoke=StagedRun(files=120, size=1024, distinct=False, latency=0.001),
    contenders=(
        wandb("wandb, 50 per page (its default)", "list", per_page=50),
        wandb("wandb, 1,000 per page", "list"),
        ours("**wbfiles_async**", "list"),
    ),
)

if __name__ == "__main__":
    main([LISTING])
