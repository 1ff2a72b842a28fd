"""Growth with the number of files, their size and the latency. Run it alone: ``python -m benchmarks.scale``."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import attrs

from benchmarks.command import main
from benchmarks.comparison import Result
from benchmarks.contenders.lineup import ours
from benchmarks.data import MIB, StagedRun
from benchmarks.stage import Stage
from benchmarks.table import mebibytes, milliseconds, render, seconds
from benchmarks.trial import Contender, Trial, run_trial


@attrs.frozen(kw_only=True)
class Growth:
    """One contender on growing runs.

    Attributes:
        name: Its name on the command line.
        title: Heading of the table.
        says: The expected result.
        runs: The runs, smallest first.
        smoke: Tiny runs.
        contender: The contender.
    """

    name: str
    title: str
    says: str
    runs: Sequence[StagedRun]
    smoke: Sequence[StagedRun]
    contender: Contender

    def among(self, text: str) -> Growth:
        """Return the benchmark unchanged: its only contender is wbfiles_async."""
        return self

    def staged_runs(self, *, smoke: bool) -> list[StagedRun]:
        """Return the runs that the stage must hold."""
        return list(self.smoke if smoke else self.runs)

    def measure(self, stage: Stage, *, repetitions: int, smoke: bool) -> Result:
        """Do all of them."""
        rows, problems = [], []
        for run in self.staged_runs(smoke=smoke):
            if reason := stage.obstacle(run):
                rows.append([f"{run}, skipped: {reason}", *[""] * 8])
                continue
            trials = [run_trial(self.contender, run, stage) for _ in range(repetitions)]
            good = [trial for trial in trials if not trial.problem]
            problems += [f"{self.name}: {run}: {trial.problem}" for trial in trials if trial.problem]
            rows.append(_row(run, good) if good else [f"{run}, wrong: {trials[0].problem}", *[""] * 8])
        header = ("", "seconds", "min to max", "a file, µs", "MB/s", "round trips", "peak MiB", "stall, ms", "CPU, s")
        return Result(f"## {self.title}\n\n{self.says}\n\n{render(header, rows)}", problems)


def _row(run: StagedRun, trials: list[Trial]) -> list[str]:
    times = [trial.seconds for trial in trials]
    median = statistics.median(times)
    return [
        str(run),
        seconds(median),
        f"{seconds(min(times))} to {seconds(max(times))}",
        f"{median / run.files * 1e6:,.0f}" if run.files > 1 else "",
        f"{run.total / 1e6 / median:,.0f}",
        f"{median / run.latency:.1f}" if run.latency else "",
        mebibytes(max(trial.usage.peak for trial in trials)),
        milliseconds(max((trial.stall for trial in trials if trial.stall is not None), default=None)),
        seconds(statistics.median(trial.usage.cpu for trial in trials)),
    ]


def _files(*counts: int) -> list[StagedRun]:
    return [StagedRun(files=count, size=1024, distinct=False) for count in counts]


def _sizes(*sizes: int) -> list[StagedRun]:
    return [StagedRun(size=size * MIB, sparse=True) for size in sizes]


def _latencies(files: int, *seconds: float) -> list[StagedRun]:
    return [StagedRun(files=files, size=1024, distinct=False, latency=latency) for latency in seconds]


SCALE = (
    Growth(
        name="scale-files",
        title="Scale: the number of files",
        says="The time for one file and the memory should stay flat.",
        runs=_files(100, 1000, 10_000, 100_000),
        smoke=_files(10, 100),
        contender=ours("", "download"),
    ),
    Growth(
        name="scale-size",
        title="Scale: the size of one file",
        says="Verified. The rate should rise to that of md5, and the memory stay flat.",
        runs=_sizes(1, 16, 128, 1024, 8192),
        smoke=_sizes(1, 9),
        contender=ours("", "fetch"),
    ),
    Growth(
        name="scale-unverified",
        title="Scale: the size of one file, unverified",
        says="The same with `verify=False`.",
        runs=_sizes(1, 16, 128, 1024, 8192),
        smoke=_sizes(1, 9),
        contender=ours("", "fetch", verify=False),
    ),
    Growth(
        name="scale-latency",
        title="Scale: the latency of each GraphQL request, when listing",
        says="The number of round trips should stay close to the number of pages, 5 of 1,000 files.",
        runs=_latencies(5000, 0.0, 0.02, 0.1, 0.3),
        smoke=_latencies(100, 0.0, 0.002),
        contender=ours("", "list"),
    ),
)

if __name__ == "__main__":
    main(SCALE)
