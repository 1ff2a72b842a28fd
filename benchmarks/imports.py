"""The cost of the import, as a whole process. Run it alone: ``python -m benchmarks.imports``."""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import statement
from benchmarks.data import StagedRun

_NOTHING = StagedRun(size=0)

IMPORTS = Comparison(
    name="import",
    title="`import`, whole process",
    says="At most half of wandb's time (2×); the aim is 0.3 of it (3.3×).",
    run=_NOTHING,
    smoke=_NOTHING,
    contenders=(
        statement("`import wandb`", "import wandb", needs="import wandb"),
        statement("**`import wbfiles_async`**", "import wbfiles_async", needs="import wbfiles_async"),
        statement("`import httpx`", "import httpx", needs="import httpx"),
        statement("bare Python", "pass", needs="import sys"),
    ),
    rehearse=True,
)

if __name__ == "__main__":
    main([IMPORTS])
