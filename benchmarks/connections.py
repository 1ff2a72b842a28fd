"""More connections than needed: they should cost nothing. Run it alone: ``python -m benchmarks.connections``."""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import ours
from benchmarks.data import MIB, StagedRun

_COUNTS = (4, 16, 64)
_SAYS = "`TransferOptions.connections`, with a store in memory, for which four are enough."

CONNECTIONS = (
    Comparison(
        name="connections",
        title="More connections than needed, small files",
        says=_SAYS,
        run=StagedRun(files=5000, size=16 * 1024),
        smoke=StagedRun(files=40, size=1024),
        contenders=[ours(f"{count} connections", "download", connections=count) for count in _COUNTS],
    ),
    Comparison(
        name="connections-large",
        title="More connections than needed, one large file, unverified",
        says=_SAYS,
        run=StagedRun(size=1024 * MIB),
        smoke=StagedRun(size=9 * MIB),
        contenders=[ours(f"{count} connections", "fetch", verify=False, connections=count) for count in _COUNTS],
    ),
)

if __name__ == "__main__":
    main(CONNECTIONS)
