"""Contenders compared on one run: one repetition of each in turn, and a table of the results."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from benchmarks.data import StagedRun
from benchmarks.stage import Stage
from benchmarks.table import count, mebibytes, milliseconds, render, seconds
from benchmarks.trial import Contender, Trial, run_trial


@attrs.frozen(kw_only=True)
class Comparison:
    """One workload and its contenders.

    Attributes:
        name: Its name on the command line.
        title: Heading of the table.
        says: What is measured, and the target.
        run: The files.
        smoke: A tiny run for smoke tests; ``None`` if another comparison covers it.
        contenders: The contenders; the first one is the baseline.
        most: The maximum of repetitions.
        rehearse: Whether each contender first runs once unmeasured, to compile modules.
    """

    name: str
    title: str
    says: str
    run: StagedRun
    smoke: StagedRun | None
    contenders: Sequence[Contender]
    most: int = 100
    rehearse: bool = False

    def among(self, text: str) -> Comparison:
        """Return the comparison with only the contenders whose title contains this text."""
        return attrs.evolve(self, contenders=[each for each in self.contenders if text in each.title])

    def staged_runs(self, *, smoke: bool) -> list[StagedRun]:
        """Return the runs that the stage must hold."""
        run = self._run(smoke=smoke)
        return [run] if run else []

    def _run(self, *, smoke: bool) -> StagedRun | None:
        return self.smoke if smoke else self.run

    def measure(self, stage: Stage, *, repetitions: int, smoke: bool) -> Result:
        """Run all contenders in turn."""
        run = self._run(smoke=smoke)
        if run is None:
            return Result("", [])
        heading = f"## {self.title}: {run}" if run.size else f"## {self.title}"
        if reason := stage.obstacle(run):
            return Result(f"{heading}\n\nSkipped: {reason}.\n", [])
        present = [contender for contender in self.contenders if not contender.missing]
        if smoke:
            trials = _tried(present, run, stage)
        else:
            if self.rehearse:
                for contender in present:
                    run_trial(contender, run, stage)
            trials = {contender.title: [] for contender in present}
            for _ in range(min(repetitions, self.most)):
                for contender in present:
                    trials[contender.title].append(run_trial(contender, run, stage))
        absent = [contender.title for contender in self.contenders if contender.missing]
        problems = [
            f"{self.name}: {title}: {trial.problem}"
            for title, done in trials.items()
            for trial in done
            if trial.problem
        ]
        return Result(f"{heading}\n\n{self.says}\n\n{self._table(run, trials)}{_notes(absent)}", problems)

    def _table(self, run: StagedRun, trials: dict[str, list[Trial]]) -> str:
        base = trials.get(self.contenders[0].title) if self.contenders else None
        rows = [_row(title, done, base, run) for title, done in trials.items()]
        rate = "files/s" if run.count > 1 else "MB/s"
        header = ["", "seconds", "min to max", rate, "ratio", "peak MiB", "stall, ms", "process, s", "CPU, s"]
        header += ["connections", "requests"]
        if run.runs > 1:
            header.append("GraphQL")
            for row, done in zip(rows, trials.values(), strict=True):
                row.append(f"{max(trial.asked for trial in done):,}")
        return render(header, rows)


def _tried(contenders: Sequence[Contender], run: StagedRun, stage: Stage) -> dict[str, list[Trial]]:
    """Run all contenders once, several at the same time, since nothing is measured."""
    at_once = 1 if run.uploaded else os.cpu_count()  # uploads share one folder
    with ThreadPoolExecutor(at_once) as pool:
        done = pool.map(lambda contender: run_trial(contender, run, stage), contenders)
        return {contender.title: [trial] for contender, trial in zip(contenders, done, strict=True)}


@attrs.frozen
class Result:
    """The result of a measurement.

    Attributes:
        text: The table, as Markdown.
        problems: What went wrong, one line each.
    """

    text: str
    problems: list[str]


def _row(title: str, trials: list[Trial], base: list[Trial] | None, run: StagedRun) -> list[str]:
    good = [trial for trial in trials if not trial.problem]
    if not good:
        return [f"{title}, wrong: {trials[0].problem}", *[""] * 10]
    times = [trial.seconds for trial in good]
    median = statistics.median(times)
    bad = len(trials) - len(good)
    return [
        title + (f" ({bad} of {len(trials)} wrong)" if bad else ""),
        seconds(median),
        f"{seconds(min(times))} to {seconds(max(times))}",
        _rate(run, median),
        _ratio(base, median),
        mebibytes(max(trial.usage.peak for trial in good)),
        milliseconds(max((trial.stall for trial in good if trial.stall is not None), default=None)),
        seconds(statistics.median(trial.whole for trial in good)),
        seconds(statistics.median(trial.usage.cpu for trial in good)),
        count(max(trial.connections for trial in good)),
        count(max(trial.requests for trial in good)),
    ]


def _notes(absent: list[str]) -> str:
    return f"\nNot installed, so not measured: {'; '.join(absent)}.\n" if absent else ""


def _rate(run: StagedRun, median: float) -> str:
    if run.count > 1:
        return f"{run.count / median:,.0f}"
    return f"{run.size / 1e6 / median:,.0f}" if run.size else ""


def _ratio(base: list[Trial] | None, median: float) -> str:
    good = [trial.seconds for trial in base or [] if not trial.problem]
    return f"{statistics.median(good) / median:.2f}×" if good else ""
