"""One run of a contender in its own process: start, measure, check, clean up."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import attrs

from benchmarks.data import StagedRun, check_files
from benchmarks.slow_mount import SlowDisk
from benchmarks.stage import Stage, sent_to
from benchmarks.watch import StoreWatch

_LIMIT = 1800.0
"""Timeout of a contender, in seconds."""

_GRACE = 20.0
"""Seconds within which a contender's children must end after it."""

_SAMPLE = 0.01
"""Sampling interval, in seconds, of the memory of a tool that cannot wait for a last sample."""

_MARK = "WBFILES_BENCHMARK_TRIAL"
_REPOSITORY = Path(__file__).parent.parent


@attrs.frozen
class Job:
    """The task of a contender.

    Attributes:
        stage: The surroundings.
        run: The run.
        folder: A folder in memory for this job alone.
        disk: The destination disk, if it has latency.
    """

    stage: Stage
    run: StagedRun
    folder: Path
    disk: SlowDisk | None

    @property
    def root(self) -> Path:
        """The destination; does not exist yet."""
        return (self.disk.mounted / self.folder.name if self.disk else self.folder) / "root"

    @property
    def written(self) -> Path:
        """The same folder, without the delay."""
        return (self.disk.direct / self.folder.name if self.disk else self.folder) / "root"

    @property
    def source(self) -> Path:
        """The folder of the files to upload."""
        return self.stage.folder / "data" / self.run.folder

    @property
    def sent(self) -> Path:
        """The folder in which the store keeps uploads."""
        return sent_to(self.stage.folder, self.run)

    @property
    def path(self) -> str:
        """The run's path, or that of a project of runs."""
        return f"bench/{self.run.run_id}/" if self.run.runs > 1 else f"bench/bench/{self.run.run_id}"


@attrs.frozen
class Contender:
    """A program that does the job.

    Attributes:
        title: Its name in the table.
        command: Makes the command line; may write files to the job's folder.
        needs: The program that must be installed, or the package, as ``import wandb``.
        reports: Whether it measures itself (see ``contenders.reporting``). Otherwise the whole process is measured.
        downloads: Whether the files must exist at the end, or at the store if they are uploaded. Otherwise, if it
            reports, they must have been listed.
    """

    title: str
    command: Callable[[Job], Sequence[str]]
    needs: str
    reports: bool = True
    downloads: bool = True

    @property
    def missing(self) -> bool:
        """Whether it cannot be measured on this machine."""
        program, _, package = self.needs.partition("import ")
        return find_spec(package) is None if package else shutil.which(program) is None


@attrs.frozen
class Usage:
    """Resources used by processes.

    Attributes:
        peak: Bytes of memory, each process at its own peak; 0 if the system does not report it.
        cpu: Seconds of processor time, from the start of the process on; 0 if the system does not report it.
    """

    peak: int
    cpu: float


@attrs.frozen
class Trial:
    """The measurements.

    Attributes:
        seconds: Duration of the work alone, if the contender measures itself.
        whole: Duration of the whole process, in seconds.
        usage: Resources used by all its processes.
        stall: Longest stall of the event loop, in seconds; ``None`` if unknown.
        problem: What went wrong; an empty text if nothing did.
        asked: The number of its GraphQL requests, including those before the clock started.
        connections: To the store, the most at the same time; 0 if the store does not count them.
        requests: To the store; 0 if the store does not count them.
    """

    seconds: float
    whole: float
    usage: Usage
    stall: float | None
    problem: str
    asked: int = 0
    connections: int = 0
    requests: int = 0


def run_trial(contender: Contender, run: StagedRun, stage: Stage) -> Trial:
    """Run the contender once."""
    mark = uuid.uuid4().hex
    folder = stage.folder / mark
    folder.mkdir()
    job = Job(stage, run, folder, stage.slow_disks.get(run.slow_disk))
    job.written.parent.mkdir(exist_ok=True)
    try:
        before = stage.asked()
        with StoreWatch(stage.origins["loopback", "http"]) as watch:
            trial = _measure(contender, job, mark)
        asked = stage.asked() - before
        trial = attrs.evolve(trial, asked=asked, connections=watch.connections, requests=watch.requests)
        return trial if trial.problem else attrs.evolve(trial, problem=_check(contender, job))
    finally:
        _end_remaining(mark)
        shutil.rmtree(folder)
        shutil.rmtree(job.sent, ignore_errors=True)
        if job.disk is not None:
            shutil.rmtree(job.written.parent)


def _measure(contender: Contender, job: Job, mark: str) -> Trial:
    folder = job.folder
    command = contender.command(job)
    errors = folder / "errors"
    with errors.open("wb") as stderr:
        began = time.perf_counter()
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env=_environment(job, mark),
        )
        with child:
            guard = threading.Timer(_LIMIT, child.kill)
            guard.start()
            try:
                report, usage, pause = _follow(contender, child, mark)
                child.wait()
                whole = time.perf_counter() - began - pause
            except BaseException:
                child.kill()
                raise
            finally:
                guard.cancel()
    seconds = float(report.get("seconds") or whole)
    stall = report.get("stall")
    problem = ""
    if child.returncode != 0:
        lines = errors.read_text(errors="replace").strip().splitlines()
        problem = f"exit code {child.returncode}: {lines[-1][:200] if lines else 'no message'}"
    elif contender.reports and report.get("files") != job.run.count:
        problem = f"did {report.get('files')} files of {job.run.count}"
    return Trial(seconds, whole, usage, None if stall is None else float(stall), problem)


def _follow(
    contender: Contender, child: subprocess.Popen[bytes], mark: str
) -> tuple[dict[str, float | None], Usage, float]:
    """Wait until the contender is done.

    Returns:
        Its report, its resource use, and the seconds that it was kept waiting.
    """
    assert child.stdin is not None
    assert child.stdout is not None
    if not contender.reports:
        return {}, _sample_until_end(child), 0.0
    line = child.stdout.readline()
    began = time.perf_counter()
    used = [_usage_of(process) for process in _marked(mark)]
    child.stdin.close()
    pause = time.perf_counter() - began
    usage = Usage(sum(each.peak for each in used), sum(each.cpu for each in used))
    return (json.loads(line) if line else {}), usage, pause


def _sample_until_end(child: subprocess.Popen[bytes]) -> Usage:
    ended = threading.Event()
    peaks: list[int] = []

    def sample() -> None:
        while not ended.wait(_SAMPLE):
            peaks.append(_usage_of(child.pid).peak)

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    sampler = threading.Thread(target=sample)
    sampler.start()
    child.wait()
    ended.set()
    sampler.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # Not ru_maxrss: on Linux, children inherit this process's own value.
    return Usage(max(peaks, default=0), cpu)


def _environment(job: Job, mark: str) -> dict[str, str]:
    """Return an environment without this machine's user, proxies and settings."""
    home = job.folder / "home"
    home.mkdir()
    return {
        _MARK: mark,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_REPOSITORY),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": str(job.stage.authority),
        "WANDB_DIR": str(home),
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_ERROR_REPORTING": "false",
    } | dict(job.stage.environments[job.run.way])


def _check(contender: Contender, job: Job) -> str:
    if not contender.downloads:
        return ""
    if job.run.uploaded:
        return check_files(job.run, job.sent, job.stage.md5s[job.run.folder])
    return check_files(job.run, job.written, job.stage.md5s[job.run.folder])


def _marked(mark: str) -> list[int]:
    """Find the processes of a trial, by the environment that they inherit: wandb's service leaves the session."""
    if sys.platform != "linux":
        return []
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


def _usage_of(process: int) -> Usage:
    """Return the resource use of a process so far; zeros if it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return Usage(0, 0.0)
    peak = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return Usage(peak, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def _end_remaining(mark: str) -> None:
    """Wait until the trial's processes have ended, so that they do not overlap with the next one."""
    deadline = time.monotonic() + _GRACE
    while remaining := _marked(mark):
        if time.monotonic() > deadline:
            for process in remaining:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            return
        time.sleep(0.02)
