"""Two network namespaces with a link between them, and a download while the link fails.

Run as `unshare --net python network.py SCENARIO`. This process is the server, and cuts the link; it starts itself
once more in a namespace of its own as the client. The outcome is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wbfiles_async import AsyncApi, AsyncFile, TransferOptions, WBFilesError
from wbfiles_async.testing import LocalServer

SERVER, CLIENT, UNUSED_ADDRESS = "10.77.0.1", "10.77.0.2", "10.77.0.3"
UNUSED_MAC = "02:00:00:00:00:01"
RUN, NAME = "team/project/run1", "a.bin"
MIB = 1 << 20


def ip(words: str, pid: int | None = None) -> None:
    """Change the network of this process, or of another one."""
    inside = [] if pid is None else ["nsenter", "--target", str(pid), "--net"]
    subprocess.run([*inside, "ip", *words.split()], check=True)


def limit(rate: str) -> None:
    """Limit what the server sends."""
    words = f"qdisc replace dev server root tbf rate {rate} burst 16kb latency 400ms"
    subprocess.run(["tc", *words.split()], check=True)


@contextmanager
def linked_client(root: str) -> Iterator[subprocess.Popen[str]]:
    """Start the client in a namespace of its own, and link it to this one."""
    command = ["unshare", "--net", sys.executable, __file__, "client", root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert read(child) == "ready"  # it has its namespace
            ip(f"link add server type veth peer name client netns {child.pid}")
            ip(f"addr add {SERVER}/24 dev server")
            ip("link set server up")
            ip(f"addr add {CLIENT}/24 dev client", pid=child.pid)
            ip("link set client up", pid=child.pid)
            yield child
        finally:
            child.kill()


def read(child: subprocess.Popen[str]) -> str:
    """Read a line of the client's output."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


def read_until(child: subprocess.Popen[str], word: str) -> None:
    """Read until the client prints the word."""
    while (line := read(child)) != word:
        assert line, f"the client ended before it said {word}"


def send_command(child: subprocess.Popen[str], **words: object) -> None:
    """Send a line to the client."""
    assert child.stdin is not None
    print(json.dumps(words), file=child.stdin, flush=True)


def serve(scenario: str) -> None:
    """Serve, and change the link as in the scenario."""
    with (
        tempfile.TemporaryDirectory() as folder,
        linked_client(folder) as child,
        LocalServer(Path(folder) / "served", host=SERVER) as server,
    ):
        size = 100_000 if scenario == "slow" else 6 * MIB
        data = bytes(range(256)) * (size // 256)
        server.add_file(RUN, NAME, data)
        attempts = 8 if scenario == "down for a while" else 2
        address = {"base_url": server.base_url, "key": server.api_key, "attempts": attempts}
        match scenario:
            case "slow":
                limit("1mbit")
                send_command(child, **address)
            case "down for a while":
                limit("100mbit")
                send_command(child, **address)
                read_until(child, "a megabyte")
                ip("link set server down")
                read_until(child, "trying again")
                ip("link set server up")
            case "vanished":
                limit("100mbit")
                send_command(child, **address)
                read_until(child, "a megabyte")
                # The link is up, but nothing answers any more, not even with a reset.
                ip(f"neigh replace {SERVER} lladdr {UNUSED_MAC} nud permanent dev client", pid=child.pid)
            case "unreachable":
                ip(f"neigh add {UNUSED_ADDRESS} lladdr {UNUSED_MAC} nud permanent dev client", pid=child.pid)
                ip("route add unreachable 10.88.0.1", pid=child.pid)
                ip("route add prohibit 10.88.0.2", pid=child.pid)
                send_command(child, **address, hosts=[UNUSED_ADDRESS, "10.88.0.1", "10.88.0.2", "10.99.0.1"])
        read_until(child, "ended")
        end = json.loads(read(child))
        end["right"] = (Path(folder) / NAME).exists() and (Path(folder) / NAME).read_bytes() == data
        end["left"] = sorted(path.name for path in Path(folder).iterdir() if path.name not in (NAME, "served"))
        end["requests"] = sum(request.path.startswith("/store/") for request in server.requests)
        print(json.dumps(end))


class Announcing(logging.Handler):
    """Reports failed attempts that are retried."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say so."""
        if "Trying again" in record.getMessage():
            print("trying again", flush=True)


class Progress:
    """Reports when the first megabyte has arrived."""

    def __init__(self) -> None:
        self._count = 0

    def started(self, name: str, total: int | None) -> None: ...

    def advanced(self, name: str, count: int) -> None:
        before, self._count = self._count, self._count + count
        if before < MIB <= self._count:
            print("a megabyte", flush=True)

    def finished(self, name: str) -> None: ...

    def failed(self, name: str, error: Exception) -> None: ...


async def error_of(file: AsyncFile, root: str) -> str | None:
    """Download; return the error's kind and text."""
    try:
        await file.fetch(root, progress=Progress())
    except WBFilesError as error:
        return f"{type(error).__name__}: {error}"
    return None


async def download(root: str) -> None:
    """Run the client."""
    print("ready", flush=True)
    settings = json.loads(sys.stdin.readline())
    logging.getLogger("wbfiles_async").setLevel(logging.INFO)
    logging.getLogger("wbfiles_async").addHandler(Announcing())
    options = TransferOptions(connect_timeout=0.5, stall_seconds=0.5, attempts=settings["attempts"], part_size=MIB)
    end: dict[str, object] = {}
    async with AsyncApi(base_url=settings["base_url"], api_key=settings["key"], options=options) as api:
        run = api.run(RUN)
        began = time.monotonic()
        if "hosts" in settings:
            nodes = [
                {"name": NAME, "directUrl": f"http://{host}/a?sig=1", "sizeBytes": 4} for host in settings["hosts"]
            ]
            end["errors"] = [await error_of(AsyncFile(api, node, run), root) for node in nodes]
        else:
            end["error"] = await error_of(await run.file(NAME), root)
        end["seconds"] = time.monotonic() - began
    print("ended", json.dumps(end), sep="\n", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "client":
        asyncio.run(download(sys.argv[2]))
    else:
        serve(sys.argv[1])
