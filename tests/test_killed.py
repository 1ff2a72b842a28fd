"""A bulk download that is killed repeatedly, and finished by repeating the command."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from scripted_server import temporaries
from systems import SYSTEM

from wbfiles_async import Api
from wbfiles_async._disk.names import STAGING_NAME
from wbfiles_async._disk.resume import CLOSED_SECONDS
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._thread import Service

STAGED_DOWNLOAD = Path(__file__).parent / "scripts" / "staged_download.py"
RUN = "team/project/run1"
CONNECTIONS = 4
IN_FLIGHT = 2 * CONNECTIONS
ROUNDS = 5
SMALL, LARGE = 200, 2
PART = 8 << 20


class CountingServer(LocalServer):
    """Counts the requests to the store, and reports a chosen number of them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.request_counts: Counter[str] = Counter()
        self._left = 0
        self._lock = threading.Lock()
        self._due = threading.Event()

    def due_after(self, requests: int) -> threading.Event:
        """Return an event that is set after that many further requests to the store."""
        with self._lock:
            self._left, self._due = requests, threading.Event()
        return self._due

    def _services(self) -> tuple[Service, Service]:
        api, store = super()._services()
        store.app.middlewares.append(self._count)
        return api, store

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        with self._lock:
            self.request_counts[request.match_info["name"]] += 1
            self._left -= 1
            if not self._left:
                self._due.set()
        return await handler(request)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CountingServer]:
    with CountingServer(tmp_path / "served") as running:
        yield running


def put_files(server: LocalServer, seed: random.Random) -> dict[str, bytes]:
    contents = {f"media/{n % 5}/{n}.bin": seed.randbytes(seed.randrange(1, 40_000)) for n in range(SMALL)}
    contents |= {f"model/{n}.bin": seed.randbytes(PART + seed.randrange(2 << 20)) for n in range(LARGE)}
    for name, data in contents.items():
        server.add_file(RUN, name, data)
    return contents


def start(server: LocalServer, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "wbfiles_async", "get", RUN, "-o", "data", "--connections", str(CONNECTIONS)],
        cwd=folder,
        env=os.environ | {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def in_place(root: Path, contents: dict[str, bytes]) -> set[str]:
    return {name for name, data in contents.items() if (root / name).exists() and (root / name).read_bytes() == data}


def interrupted_and_finished(server: CountingServer, folder: Path, seed: random.Random) -> dict[str, bytes]:
    """Download a run with a command that is killed at random moments; return the run's files.

    Files that were complete when the command was killed are not requested again.
    """
    contents, root = put_files(server, seed), folder / "data"
    killed = 0
    while True:
        whole = in_place(root, contents)
        assert whole == {name for name in contents if (root / name).exists()}, "what has its name is whole"
        server.request_counts.clear()
        due = server.due_after(seed.randrange(1, 60)) if killed < ROUNDS else None
        with start(server, folder) as child:
            try:
                while due is not None and child.poll() is None and not due.wait(0.01):
                    pass
                if due is not None:
                    child.send_signal(signal.SIGKILL)
                _, errors = child.communicate(timeout=60)
            finally:
                child.kill()
        assert not whole & set(server.request_counts)
        if child.returncode == 0:
            return contents
        assert (child.returncode, killed < ROUNDS) == (-signal.SIGKILL, True), errors.decode()
        wasted = [name for name in [*server.request_counts] if not (root / name).exists()]  # it may still be reported
        assert len(wasted) <= IN_FLIGHT, "only files in progress are requested again"
        killed += 1


@pytest.mark.fault(91)
def test_repetition_finishes_a_job_killed_at_random_moments(server: CountingServer, tmp_path: Path) -> None:
    contents = interrupted_and_finished(server, tmp_path, random.Random(1))
    assert in_place(tmp_path / "data", contents) == set(contents)
    # On Windows, one that was closed just now may belong to a process that has not published it yet.
    closed = time.time() - CLOSED_SECONDS
    assert not [path for path in temporaries(tmp_path / "data") if path.stat().st_mtime <= closed]


@pytest.mark.skipif(SYSTEM != "linux", reason="files are staged on Linux only")
@pytest.mark.fault(91)
def test_next_download_removes_the_stage_of_a_killed_one(
    wandb_server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"media/{n}.bin": random.Random(n).randbytes(1000) for n in range(100)}
    for name, data in contents.items():
        wandb_server.add_file(RUN, name, data)
    monkeypatch.setenv("WANDB_BASE_URL", wandb_server.base_url)
    monkeypatch.setenv("WANDB_API_KEY", wandb_server.api_key)
    stage = tmp_path / "media" / STAGING_NAME
    command = [sys.executable, str(STAGED_DOWNLOAD), RUN, str(tmp_path)]
    with Api() as api, subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"staged\n"
            assert any(path.is_file() for path in stage.glob("*/.*")), "it has unfinished files"
            api.run(RUN).download(tmp_path, dry_run=True)
            api.run(RUN).download(tmp_path)
            assert any(path.is_file() for path in stage.glob("*/.*")), "the process is alive"
            child.send_signal(signal.SIGKILL)
            child.wait()
            api.run(RUN).download(tmp_path, dry_run=True)
            assert stage.exists()
            assert api.run(RUN).download(tmp_path).kept == len(contents)
        finally:
            child.kill()
    assert in_place(tmp_path, contents) == set(contents)
    assert not temporaries(tmp_path)
