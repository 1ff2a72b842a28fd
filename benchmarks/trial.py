"""One contender at work once, in a process of its own: started, measured, checked, cleaned up after."""

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
"""Seconds after which a contender is given up."""

_GRACE = 20.0
"""Seconds that a contender's own children have to end after it."""

_SAMPLE = 0.01
"""Seconds between two looks at the memory of a tool that cannot be asked to wait for a last one."""

_MARK = "WBFILES_BENCHMARK_TRIAL"
_REPOSITORY = Path(__file__).parent.parent


@attrs.frozen
class Job:
    """What a contender is to do.

    Attributes:
        stage: Where.
        run: Which run's files.
        folder: A folder for this job alone, in memory.
        disk: The disk that the files shall go to, if that has latency.
    """

    stage: Stage
    run: StagedRun
    folder: Path
    disk: SlowDisk | None

    @property
    def root(self) -> Path:
        """Where they shall go; does not exist yet."""
        return (self.disk.mounted / self.folder.name if self.disk else self.folder) / "root"

    @property
    def written(self) -> Path:
        """The same, where no call takes its time."""
        return (self.disk.direct / self.folder.name if self.disk else self.folder) / "root"

    @property
    def source(self) -> Path:
        """Where the files are that are uploaded."""
        return self.stage.folder / "data" / self.run.folder

    @property
    def sent(self) -> Path:
        """Where the store keeps what is uploaded."""
        return sent_to(self.stage.folder, self.run)

    @property
    def path(self) -> str:
        """The run's path at the API, or that of a project of runs."""
        return f"bench/{self.run.run_id}/" if self.run.runs > 1 else f"bench/bench/{self.run.run_id}"


@attrs.frozen
class Contender:
    """A way to do the job.

    Attributes:
        title: What the table calls it.
        command: Makes the command line; may write files to the job's folder.
        needs: The program that must be there, or the package, as ``import wandb``.
        reports: Whether it measures itself (see ``contenders.reporting``). Of others the whole process is measured.
        downloads: Whether the files must be there in the end, or at the store if they are uploaded. If not, and if it
            reports, they must have been listed.
    """

    title: str
    command: Callable[[Job], Sequence[str]]
    needs: str
    reports: bool = True
    downloads: bool = True

    @property
    def missing(self) -> bool:
        """Whether it cannot be measured here."""
        program, _, package = self.needs.partition("import ")
        return find_spec(package) is None if package else shutil.which(program) is None


@attrs.frozen
class Usage:
    """What processes used.

    Attributes:
        peak: Bytes of memory, each process at its own peak; 0 if the system does not report it.
        cpu: Seconds of processor time, from the start of the process on; 0 if the system does not report it.
    """

    peak: int
    cpu: float


@attrs.frozen
class Trial:
    """What was measured.

    Attributes:
        seconds: The work alone, where the contender measures itself.
        whole: Seconds of the whole process.
        usage: What all its processes used.
        stall: Seconds that the event loop stood still at most; ``None`` where there is none to be seen.
        problem: What was wrong; an empty text if nothing was.
        asked: GraphQL requests that it made, those before the clock ran included.
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
    """Let the contender do its job once."""
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
        Its report, what it used, and the seconds that it was kept waiting.
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
    # Not ru_maxrss: Linux hands this process's own over to its children.
    return Usage(max(peaks, default=0), cpu)


def _environment(job: Job, mark: str) -> dict[str, str]:
    """Return an environment that says nothing of this machine's user, proxies and settings."""
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
    """Return what a process has used until now; zeros where it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return Usage(0, 0.0)
    peak = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return Usage(peak, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def _end_remaining(mark: str) -> None:
    """Wait until the trial's processes have ended, so that they do not run into the next one."""
    deadline = time.monotonic() + _GRACE
    while remaining := _marked(mark):
        if time.monotonic() > deadline:
            for process in remaining:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            return
        time.sleep(0.02)
