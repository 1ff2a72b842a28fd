"""Measures downloads from near and distant stores, and draws a picture of them: ``python -m docs.latency``.

Writes ``docs/latency.svg`` and its data, ``docs/latency.json``, from which ``--draw`` draws it again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import attrs

from benchmarks.contenders.lineup import ARIA2C, WANDB, WANDB_16, aria2c, curl, ours
from benchmarks.data import MIB, StagedRun
from benchmarks.stage import Stage, staged
from benchmarks.trial import Contender, run_trial

LATENCIES: Final = (0, 1, 5, 20, 50, 100, 200)  # milliseconds
FILES, SIZE, LARGE = 2000, 16 * 1024, 256 * MIB

_FOLDER: Final = Path(__file__).parent
_PICTURE, _POINTS = _FOLDER / "latency.svg", _FOLDER / "latency.json"

Points = Mapping[str, Mapping[str, Sequence[float | None]]]
"""By panel and contender: files or MB per second at each latency; ``None`` where it failed."""


@attrs.frozen
class Panel:
    """One of the two diagrams.

    Attributes:
        title: What is measured.
        unit: The unit of the measured rate, per second.
        contenders: By their names in the picture.
        files: The number of files.
        size: Bytes of each file.
    """

    title: str
    unit: str
    contenders: Mapping[str, Contender]
    files: int
    size: int

    def run(self, milliseconds: float) -> StagedRun:
        """Return the run to download from a store of this latency."""
        return StagedRun(files=self.files, size=self.size, first_byte=milliseconds / 1000)

    def rate(self, seconds: float) -> float:
        """Return the rate of a download of this duration."""
        return self.files / seconds if self.files > 1 else self.size / 1e6 / seconds


PANELS: Final = (
    Panel(
        f"{FILES:,} files of {SIZE // 1024} KiB",
        "files/s",
        {
            "wbfiles_async": ours("", "download"),
            "wandb": WANDB_16,
            "curl": curl(300),
            "aria2c": aria2c(64),
        },
        FILES,
        SIZE,
    ),
    Panel(
        f"one file of {LARGE // MIB} MiB",
        "MB/s",
        {
            "wbfiles_async": ours("", "fetch"),
            "unverified": ours("", "fetch", verify=False),
            "wandb": WANDB,
            "curl": curl(1),
            "aria2c": ARIA2C,
        },
        1,
        LARGE,
    ),
)


def measure(panels: Sequence[Panel], latencies: Sequence[float], runs: int) -> Points:
    """Download with all contenders in turn from a store of each latency; return the medians."""
    staged_runs = [panel.run(latency) for panel in panels for latency in latencies]
    with staged(staged_runs) as stage:
        return {panel.title: dict(_measured(stage, panel, latencies, runs)) for panel in panels}


def _measured(
    stage: Stage, panel: Panel, latencies: Sequence[float], runs: int
) -> Iterator[tuple[str, list[float | None]]]:
    rates: dict[str, list[list[float]]] = {name: [[] for _ in latencies] for name in panel.contenders}
    for index, latency in enumerate(latencies):
        if reason := stage.obstacle(panel.run(latency)):
            raise SystemExit(f"cannot be measured: {reason}")
        for _ in range(runs):
            for name, contender in panel.contenders.items():
                trial = run_trial(contender, panel.run(latency), stage)
                if trial.problem:
                    print(f"{panel.title}, {latency:g} ms, {name}: {trial.problem}")
                else:
                    rates[name][index].append(panel.rate(trial.seconds))
        medians = {name: statistics.median(found[index]) for name, found in rates.items() if found[index]}
        shown = ", ".join(f"{name} {rate:,.0f}" for name, rate in medians.items())
        print(f"{panel.title}, {latency:g} ms, {panel.unit}: {shown}", flush=True)
    for name, found in rates.items():
        yield name, [statistics.median(each) if each else None for each in found]


# The picture

_WIDTH, _HEIGHT, _GAP = 420, 330, 20
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 108, 44, 46
_ACROSS, _DOWN = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_LABEL = 14  # least distance of two labels

_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .title { font-weight: 600; fill: #1f2328; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
  .wbfiles_async { stroke: #0969da; fill: #0969da; }
  .unverified { stroke: #54aeff; fill: #54aeff; }
  .wandb { stroke: #bf8700; fill: #bf8700; }
  .curl { stroke: #6e7781; fill: #6e7781; }
  .aria2c { stroke: #1a7f37; fill: #1a7f37; }
  text.wbfiles_async { font-weight: 600; }
  text.wbfiles_async, text.unverified, text.wandb, text.curl, text.aria2c { stroke: none; }
  polyline { fill: none !important; }
  .wbfiles_async.line { stroke-width: 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .title { fill: #f0f6fc; }
    .grid { stroke: #3d444d; }
    .wbfiles_async { stroke: #4493f8; fill: #4493f8; }
    .unverified { stroke: #79c0ff; fill: #79c0ff; }
    .wandb { stroke: #d29922; fill: #d29922; }
    .curl { stroke: #9198a1; fill: #9198a1; }
    .aria2c { stroke: #3fb950; fill: #3fb950; }
  }
"""


def draw(latencies: Sequence[float], points: Points) -> str:
    """Return the picture as SVG, for light and dark backgrounds."""
    width = len(PANELS) * _WIDTH + (len(PANELS) - 1) * _GAP
    panels = "".join(
        f'<g transform="translate({index * (_WIDTH + _GAP)} 0)">\n{_panel(panel, latencies, points[panel.title])}</g>\n'
        for index, panel in enumerate(PANELS)
    )
    told = "Files and megabytes per second over the latency of the store: wbfiles_async, wandb, curl and aria2c"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" role="img" aria-label="{told}">\n'
        f"<style>{_STYLE}</style>\n{panels}</svg>\n"
    )


def _panel(panel: Panel, latencies: Sequence[float], rates: Mapping[str, Sequence[float | None]]) -> str:
    known = [rate for found in rates.values() for rate in found if rate]
    low, high = _bounds(known)
    lines = [_text(_LEFT - 40, 18, f"{panel.title}, {panel.unit}", "title")]

    def x(index: int) -> float:
        return _LEFT + _ACROSS * index / max(1, len(latencies) - 1)

    def y(rate: float) -> float:
        return _TOP + _DOWN * (1 - math.log(rate / low) / math.log(high / low))

    for rate in _ticks(low, high):
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _ACROSS}" y1="{y(rate):.1f}" y2="{y(rate):.1f}"/>')
        lines.append(_text(_LEFT - 6, y(rate) + 4, f"{rate:,.0f}", anchor="end"))
    lines += [_text(x(index), _HEIGHT - 26, f"{latency:g}", anchor="middle") for index, latency in enumerate(latencies)]
    lines.append(_text(_LEFT + _ACROSS / 2, _HEIGHT - 8, "ms until a response begins", anchor="middle"))
    for name, found in reversed(list(rates.items())):  # the first one on top
        placed = [(x(index), y(rate)) for index, rate in enumerate(found) if rate]
        lines.append(f'<polyline class="line {name}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in placed)}"/>')
        lines += [f'<circle class="{name}" cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in placed]
    ends = {name: y(found[-1]) for name, found in rates.items() if found[-1]}
    for name, place in _spread(ends).items():
        lines.append(_text(_LEFT + _ACROSS + 8, place + 4, name, name))
    return "\n".join(lines) + "\n"


def _bounds(rates: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a logarithmic scale: 1, 2 or 5 times a power of ten."""
    steps = [step * 10.0**power for power in range(7) for step in (1, 2, 5)]
    low = max((step for step in steps if step <= min(rates)), default=steps[0])
    return low, next(step for step in steps if step >= max(rates) and step > low)


def _ticks(low: float, high: float) -> list[float]:
    steps = (1, 2, 5) if high / low <= 200 else (1,)
    return [rate for power in range(7) for step in steps if low <= (rate := step * 10.0**power) <= high]


def _spread(places: Mapping[str, float]) -> dict[str, float]:
    """Move labels down until none covers another."""
    spread, last = dict[str, float](), -math.inf
    for name, place in sorted(places.items(), key=lambda each: each[1]):
        spread[name] = last = max(place, last + _LABEL)
    return spread


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def main() -> None:
    """Measure, unless told only to draw, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="repetitions, of which the median counts (default: 3)")
    parser.add_argument("--latencies", default=",".join(map(str, LATENCIES)), metavar="MS,...", help="milliseconds")
    parser.add_argument("--draw", action="store_true", help="only draw the last measurements")
    parser.add_argument("--smoke", action="store_true", help="tiny inputs, ours alone, nothing written: a check")
    given = parser.parse_args()
    if given.smoke:
        _smoke()
        return
    if not given.draw:
        latencies = [float(each) for each in given.latencies.split(",")]
        measured = {"latencies": latencies, "rates": measure(PANELS, latencies, given.runs)}
        _POINTS.write_text(json.dumps(measured, indent=1) + "\n")
    measured = json.loads(_POINTS.read_text())
    _PICTURE.write_text(draw(measured["latencies"], measured["rates"]))


def _smoke() -> None:
    latencies = (0, 5)
    tiny = [
        attrs.evolve(
            panel,
            files=min(panel.files, 20),
            size=min(panel.size, 9 * MIB),
            contenders={name: each for name, each in panel.contenders.items() if each.needs == ours("", "list").needs},
        )
        for panel in PANELS
    ]
    points = measure(tiny, latencies, runs=1)
    ElementTree.fromstring(draw(latencies, points))
    if any(rate is None for rates in points.values() for found in rates.values() for rate in found):
        raise SystemExit("a download failed")


if __name__ == "__main__":
    main()
