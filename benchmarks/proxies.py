"""Through forward proxies, and with a proxy in the environment that does not apply to the store.

Run it alone: ``python -m benchmarks.proxies``.
"""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import ARIA2C, CURL, WANDB, WANDB_16, ours
from benchmarks.data import MIB, StagedRun, Way

_SMALL = (WANDB_16, ARIA2C, CURL, ours("**wbfiles_async**", "download"))
_LARGE = (
    WANDB,
    CURL,
    ours("**wbfiles_async**", "fetch"),
    ours("**wbfiles_async, `verify=False`**", "fetch", verify=False),
)
_AS_WITHOUT = "As without such a variable: at least 2× of wandb with small files, 1.5× with a large one unverified."


def _small(way: Way, says: str, title: str, files: int) -> Comparison:
    return Comparison(
        name=f"{way.replace(' ', '-')}-small",
        title=f"{title}, many small files",
        says=says,
        run=StagedRun(files=files, size=16 * 1024, way=way),
        smoke=StagedRun(files=20, size=1024, way=way) if way in ("tinyproxy", "excluded") else None,
        contenders=_SMALL,
    )


def _large(way: Way, says: str, title: str, run: StagedRun, smoke: StagedRun | None = None) -> Comparison:
    return Comparison(
        name=f"{way.replace(' ', '-')}-large",
        title=f"{title}, one large file",
        says=says,
        run=run,
        smoke=smoke,
        contenders=_LARGE,
    )


def _unused(way: Way, title: str) -> list[Comparison]:
    return [
        _small(way, _AS_WITHOUT, title, 5000),
        _large(way, _AS_WITHOUT, title, StagedRun(size=1024 * MIB, way=way)),
    ]


def _used(way: Way) -> list[Comparison]:
    says = "At least 0.8× of wandb through the same proxy; the aim is 1×."
    run = StagedRun(size=1024 * MIB, door="https", way=way)
    smoke = StagedRun(size=9 * MIB, door="https", way=way) if way == "squid" else None
    return [
        _small(way, says, f"Through a forward proxy ({way})", 1000),
        _large(way, f"CONNECT. {says}", f"Through a forward proxy ({way}), over TLS", run, smoke),
    ]


PROXIES = (
    *_used("tinyproxy"),
    *_used("squid"),
    *_unused("excluded", "A proxy in the environment, and `NO_PROXY` for the store"),
    *_unused("other scheme", "A proxy in the environment for https only, and a store of http"),
)

if __name__ == "__main__":
    main(PROXIES)
