"""Runs the plan of a large project on a Dask cluster whose workers are killed: `python -m soak.cluster`.

Guarantees, measured at the server: every file is right; no chunk starts twice except those whose worker was killed;
all workers together respect the limits on connections, rate and requests; and a second run requests nothing from the
store. With `--s3` the files go into a bucket of a server on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from wbfiles_async import Api
from wbfiles_async.scale import Plan, run_plan
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._thread import Service

if TYPE_CHECKING:
    from distributed import Client

PROJECT = "team/project"


class MeasuringServer(LocalServer):
    """A server that records concurrent requests, and how much it sends.

    Attributes:
        most: The maximum of concurrent requests to its store.
        sent: Bytes of the files requested from its store.
        queries: When the API was requested, in monotonic seconds.
        request_counts: The number of requests for each file.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, remembered_requests=0)
        self.most = self.sent = self._now = 0
        self.queries: list[float] = []
        self.request_counts: Counter[str] = Counter()

    def _services(self) -> tuple[Service, Service]:
        api, store = super()._services()

        @web.middleware
        async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._now += 1
            self.most = max(self.most, self._now)
            self.request_counts[request.path] += 1
            try:
                await asyncio.sleep(0.01)  # so that requests overlap
                response = await handler(request)
                self.sent += response.content_length or 0
                return response
            finally:
                self._now -= 1

        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.queries.append(time.monotonic())
            return await handler(request)

        store.app.middlewares.append(measure)
        api.app.middlewares.append(note)
        return api, store


@attrs.define
class Killer:
    """Kills workers of a cluster at random moments, each once, until stopped or enough have been killed.

    Attributes:
        killed: The processes.
    """

    client: Client
    kills: int
    chance: random.Random
    killed: list[int] = attrs.field(factory=list)
    _over: threading.Event = attrs.field(factory=threading.Event)

    @contextmanager
    def working(self, longest: float) -> Iterator[None]:
        """Kill a worker at most every so many seconds during the block."""
        thread = threading.Thread(target=self._work, args=(longest,))
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _work(self, longest: float) -> None:
        while len(self.killed) < self.kills and not self._over.wait(self.chance.uniform(0.1, longest)):
            with suppress(Exception):  # a worker that just died answers nothing
                workers: Any = self.client.run(os.getpid, on_error="ignore")
                alive = [pid for pid in workers.values() if isinstance(pid, int) and pid not in self.killed]
                if alive:
                    pid = self.chance.choice(alive)
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)


@contextmanager
def processes(workers: int) -> Iterator[Client]:
    """Yield the client of a cluster of processes, with one thread each and this environment."""
    distributed: Any = import_module("distributed")  # its classes state no types
    # A busy machine takes long to start another process, and a cluster abandons a worker that does not return.
    import_module("dask").config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})
    settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 60}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        yield client


def fill(server: LocalServer, runs: int, files: int, chance: random.Random) -> dict[str, bytes]:
    """Add runs, and return their files' content by ``run_id/name``."""
    content: dict[str, bytes] = {}
    for run in range(runs):
        for file in range(files):
            data = chance.randbytes(chance.choice((0, 300, 5000, 40_000)))
            server.add_file(f"{PROJECT}/run{run:05}", f"media/{file}.bin", data)
            content[f"run{run:05}/media/{file}.bin"] = data
    return content


def found_below(root: Path) -> dict[str, bytes]:
    """All files below a folder, by their paths in it."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def main() -> int:
    """Run it and print the observations; return the exit code."""
    parser = argparse.ArgumentParser(description="Kills workers of a cluster that carries out a plan.")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--files", type=int, default=3, help="of each run")
    parser.add_argument("--per-chunk", type=int, default=20, help="runs of a chunk")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--connections", type=int, default=12, help="of all workers")
    parser.add_argument("--limit-rate", type=int, default=20_000_000, help="bytes a second, of all workers")
    parser.add_argument("--api-requests", type=float, default=100.0, help="a second, of all workers")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--s3", action="store_true", help="into a bucket")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    chance = random.Random(given.seed)
    wrong: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(MeasuringServer(folder / "served"))
        os.environ.update(WANDB_BASE_URL=server.base_url, WANDB_API_KEY=server.api_key)
        content = fill(server, given.runs, given.files, chance)
        at, root, bucket = str(folder / "plan"), str(folder / "root"), None
        if given.s3:
            from s3 import bucket_of_its_own

            bucket = stack.enter_context(bucket_of_its_own())
            os.environ.update(bucket.environment)
            at, root = bucket.url("plan"), bucket.url("root")
        client = stack.enter_context(processes(given.workers))
        with Api() as api:
            plan = Plan.make(api, PROJECT, at=at, runs_per_chunk=given.per_chunk)
        server.queries.clear()
        killer = Killer(client, given.kills, chance)
        began = time.monotonic()
        with killer.working(longest=2.0):
            report = run_plan(
                plan,
                root,
                on=client,
                connections=given.connections,
                limit_rate=given.limit_rate,
                api_requests=given.api_requests,
                progress=sys.stderr.isatty(),
            )
        seconds = time.monotonic() - began
        if bucket is not None:
            data = {key[5:]: value for key, value in bucket.objects().items() if key.startswith("root/")}
        else:
            data = found_below(Path(root))
        if data != content:
            wrong.append("files are missing, too many or wrong")
        if (report.chunks_done, report.failed) != (len(plan.chunks), 0):
            wrong.append(f"not all chunks are done: {report}")
        again = {
            int(path.split("/")[4][3:]) // given.per_chunk for path, count in server.request_counts.items() if count > 1
        }
        if len(again) > len(killer.killed):
            wrong.append(f"{len(again)} chunks were begun again, and {len(killer.killed)} workers were killed")
        if server.most > given.connections:
            wrong.append(f"{server.most} connections at once")
        # A burst of a quarter of a second is allowed for each chunk and each repeated one.
        bursts = (len(plan.chunks) + len(killer.killed)) / given.workers * 0.25
        if server.sent > given.limit_rate * (seconds + bursts):
            wrong.append(f"{server.sent / seconds:,.0f} bytes a second")
        if len(server.queries) > given.api_requests * (seconds + bursts):
            wrong.append(f"{len(server.queries) / seconds:,.1f} requests to the API a second")
        print(report)
        print(
            f"{len(killer.killed)} workers killed, {len(again)} chunks begun again; at most {server.most} connections"
        )
        print(f"{len(server.queries)} requests to the API, {len(server.queries) / seconds:.1f} a second")
        server.request_counts.clear()
        second = run_plan(plan, root, on=client)
        if server.request_counts or second.chunks_before != len(plan.chunks):
            wrong.append("a second run sent requests to the store again")
        print(f"second run: {second}")
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
