"""The surroundings of a measurement: data, store and API. Started once, and always stopped."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import attrs

from benchmarks import proxy, slow_mount, store
from benchmarks.api_server import signed
from benchmarks.data import MIB, StagedRun, Way, name_of, write_files
from benchmarks.slow_mount import SlowDisk

_MEMORY_DISK = Path("/dev/shm")


@attrs.frozen
class Stage:
    """The surroundings of the measurements.

    Attributes:
        folder: The folder of everything.
        base_url: The API.
        origins: The store's origins, by its host and its doors.
        md5s: The md5 of each run's files, by the run's folder.
        slow_disks: Disks with latency, by the seconds that a metadata call takes.
        environments: The environment variables of each route to the store.
    """

    folder: Path
    base_url: str
    origins: Mapping[store.Entry, str]
    md5s: dict[str, list[str]]
    slow_disks: Mapping[float, SlowDisk]
    environments: Mapping[Way, Mapping[str, str]]

    @property
    def authority(self) -> Path:
        """The certificate authority to trust."""
        return self.folder / "authority.pem"

    def asked(self) -> int:
        """Ask the API how many GraphQL requests it has answered."""
        with urlopen(f"{self.base_url}/asked", timeout=10) as answer:
            return int(answer.read())

    def urls(self, run: StagedRun) -> dict[str, str]:
        """Return the URL of each file of the run, by its name."""
        names = map(name_of, range(run.files))
        return {name: signed(self.origins[_entry_of(run)] + run.url_path(name)) for name in names}

    def obstacle(self, run: StagedRun) -> str:
        """Return why the run cannot be downloaded on this machine; an empty text if it can."""
        needed = run.total + run.count * 4096  # each file in whole pages
        if needed * 1.2 > shutil.disk_usage(self.folder).free:
            return f"{self.folder.parent} has no room for {run.total / MIB:,.0f} MiB"
        if run.door == "limited" and not store.can_limit():
            return "only Linux can limit the rate of each connection"
        if run.first_byte and not store.can_delay():
            return "nginx has no echo module (Debian: libnginx-mod-http-echo)"
        return slow_mount.obstacle() if run.slow_disk else proxy.obstacle(run.way)


@contextmanager
def staged(runs: Sequence[StagedRun]) -> Iterator[Stage]:
    """Serve these runs from an API and a store.

    Everything is on a disk in memory if there is one, so that no disk is measured.
    """
    place = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="wbfiles-bench-", dir=place) as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        contents = {run.folder: run for run in runs}
        md5s = {content: write_files(run, data / content) for content, run in contents.items()}
        with ExitStack() as stack:
            origins = stack.enter_context(store.serve(data, folder, proxy.own_address()))
            base_url = stack.enter_context(_api(folder, runs, origins, md5s))
            latencies = {run.slow_disk for run in runs if run.slow_disk} if not slow_mount.obstacle() else ()
            disks = {each: stack.enter_context(slow_mount.mounted(folder, each)) for each in latencies}
            ways: set[Way] = {run.way for run in runs if not proxy.obstacle(run.way)}
            environments: dict[Way, Mapping[str, str]] = {
                way: stack.enter_context(proxy.serve(way, folder)) for way in ways
            }
            yield Stage(folder, base_url, origins, md5s, disks, environments)


@contextmanager
def _api(
    folder: Path, runs: Sequence[StagedRun], origins: Mapping[store.Entry, str], md5s: dict[str, list[str]]
) -> Iterator[str]:
    listings = [
        {
            "run": attrs.asdict(run),
            "store": origins[_entry_of(run)],
            "md5s": md5s[run.folder],
            "sent": str(sent_to(folder, run)),
        }
        for run in runs
    ]
    file = folder / "runs.json"
    file.write_text(json.dumps(listings))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        command = [sys.executable, "-m", "benchmarks.api_server", str(file), str(listener.fileno())]
        with store.running(command, pass_fds=[listener.fileno()]):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def sent_to(folder: Path, run: StagedRun) -> Path:
    """Return the folder in which the store keeps uploads to a run."""
    return folder / "put" / run.run_id


def _entry_of(run: StagedRun) -> store.Entry:
    return ("outer" if run.way in ("tinyproxy", "squid") else "loopback"), run.door
