"""The command line that all benchmarks share."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from benchmarks.comparison import Result
from benchmarks.data import StagedRun
from benchmarks.memory import kept
from benchmarks.stage import Stage, staged
from benchmarks.table import replace_rest

_README = Path(__file__).with_name("README.md")
_LAST = "# Latest tables"


class Benchmark(Protocol):
    """A runnable benchmark: a comparison or a scaling series."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    def staged_runs(self, *, smoke: bool) -> list[StagedRun]:
        """Return the runs that the stage must hold."""
        ...

    def among(self, text: str) -> Benchmark:
        """Return the benchmark with only the contenders whose title contains this text."""
        ...

    def measure(self, stage: Stage, *, repetitions: int, smoke: bool) -> Result:
        """Measure; ``smoke`` uses tiny runs."""
        ...


def main(benchmarks: Sequence[Benchmark], *, options: Sequence[argparse.ArgumentParser] = ()) -> None:
    """Run the benchmarks that the command line names, and print their tables.

    Exits with 1 if a contender failed.

    Args:
        benchmarks: The available benchmarks.
        options: Further options, which the caller has parsed.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # unwinds, and so cleans up
    names = [benchmark.name for benchmark in benchmarks]
    parser = argparse.ArgumentParser(description="Compare wbfiles_async with its peers.", parents=options)
    parser.add_argument("--only", metavar="NAME,...", help=f"some of {', '.join(names)}")
    parser.add_argument("--contenders", metavar="TEXT", default="", help="only those whose title contains this text")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="repetitions of each (default: 5)")
    keep = "keep this much memory free and from the host of a virtual machine, for steady figures; uses twice as much"
    parser.add_argument("--keep-memory", type=int, default=0, metavar="GIB", help=keep)
    parser.add_argument("--smoke", action="store_true", help="run everything once with tiny inputs, as a check")
    parser.add_argument("--write", action="store_true", help="write the tables into README.md in this folder")
    given = parser.parse_args()
    only = given.only.split(",") if given.only else names
    if unknown := set(only) - set(names):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(names)}")
    if given.runs < 1:
        parser.error("--runs must be 1 or more")
    if given.keep_memory < 0:
        parser.error("--keep-memory must be 0 or more")
    chosen = [benchmark.among(given.contenders) for benchmark in benchmarks if benchmark.name in only]
    texts = [_surroundings(smoke=given.smoke)]
    problems: list[str] = []
    print(texts[0], flush=True)
    runs = [run for benchmark in chosen for run in benchmark.staged_runs(smoke=given.smoke)]
    keeping = kept(given.keep_memory << 30) if given.keep_memory else nullcontext()
    with keeping, staged(runs) as stage:
        for benchmark in chosen:
            result = benchmark.measure(stage, repetitions=1 if given.smoke else given.runs, smoke=given.smoke)
            if result.text:
                print(result.text, flush=True)
                texts.append(result.text)
            problems += result.problems
    if given.write:
        replace_rest(_README, _LAST, "\n".join(texts))
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


def _surroundings(*, smoke: bool) -> str:
    """Return the machine and the versions."""
    packages = [f"{name} {_version(name)}" for name in ("wbfiles-async", "wandb", "httpx", "aiohttp", "anyio")]
    tools = [_tool(name, option) for name, option in (("nginx", "-v"), ("curl", "--version"), ("aria2c", "--version"))]
    kernel = platform.release().partition("-")[0]
    note = " A smoke run with tiny inputs: the figures mean nothing." if smoke else ""
    return (
        f"{time.strftime('%Y-%m-%d')}, {_processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{kernel}, Python {platform.python_version()}; {', '.join(packages + tools)}.{note}\n"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _tool(name: str, option: str) -> str:
    if shutil.which(name) is None:
        return f"{name} not installed" + (", replaced by a slow server in Python" if name == "nginx" else "")
    said = subprocess.run([name, option], capture_output=True, text=True, check=False)
    number = re.search(r"\d+(\.\d+)+", said.stdout or said.stderr)
    return f"{name} {number[0] if number else 'of unknown version'}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
