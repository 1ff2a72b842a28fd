"""Runs the examples unchanged: processes, a real web server, a real notebook kernel."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import uvicorn
from s3 import S3, needs_s3
from s3 import s3 as s3
from s3 import s3_origin as s3_origin
from scripted_server import API_KEY, RUN, ScriptedServer
from scripted_server import server as server
from test_cancellation import settled

from wbfiles_async.testing import LocalServer

EXAMPLES = Path(__file__).parent.parent / "examples"
README = EXAMPLES.parent.joinpath("README.md").read_text(encoding="utf-8")
MIB = 1 << 20


@pytest.fixture
def environment(wandb_server: LocalServer, home: Path) -> dict[str, str]:
    return os.environ | {"WANDB_BASE_URL": wandb_server.base_url, "WANDB_API_KEY": wandb_server.api_key}


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_readme_names_every_example() -> None:
    for path in EXAMPLES.iterdir():
        if path.is_file():
            assert f"examples/{path.name}" in README


@needs_s3
def test_bucket_is_filled_and_verified(
    wandb_server: LocalServer, tmp_path: Path, environment: dict[str, str], s3: S3
) -> None:
    wandb_server.add_file("team/project/run1", "a.json", b"{}")
    wandb_server.add_file("team/project/run2", "media/b.json", b"[]")
    wandb_server.clear_requests()
    ending = run([str(EXAMPLES / "to_bucket.py"), "team/project", s3.url("wb")], tmp_path, environment | s3.environment)
    assert (ending.returncode, ending.stderr) == (0, "")
    assert ending.stdout == "2 fetched, 0 were there\n0 fetched, 2 of 2 verified\n"
    assert s3.objects().keys() == {"wb/run1/a.json", "wb/run2/media/b.json"}
    assert sum(request.path.startswith("/store/") for request in wandb_server.requests) == 2


class TestBulk:
    def test_bulk_script_downloads_and_reports(
        self, wandb_server: LocalServer, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        for name in ("a.json", "media/b.json", "c.txt"):
            wandb_server.add_file(RUN, name, b"{}")
        first = run([str(EXAMPLES / "bulk.py"), RUN, "data"], tmp_path, environment)
        assert (first.returncode, first.stderr) == (0, "2 fetched, 0 were there, 0 failed\n")
        assert sorted(first.stdout.splitlines()) == ["a.json\t2", "media/b.json\t2"]
        again = run([str(EXAMPLES / "bulk.py"), RUN, "data"], tmp_path, environment)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "0 fetched, 2 were there, 0 failed\n")

    def test_bulk_script_names_missing_files(
        self, wandb_server: LocalServer, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        for name in ("a.json", "b.json"):
            wandb_server.add_file(RUN, name, b"{}")
        (tmp_path / "data" / "b.json").mkdir(parents=True)
        ending = run([str(EXAMPLES / "bulk.py"), RUN, "data"], tmp_path, environment)
        assert ending.returncode == 1
        assert ending.stdout == "a.json\t2\n"
        summary, reason = ending.stderr.splitlines()
        assert summary == "1 fetched, 0 were there, 1 failed"
        assert reason.startswith("b.json: ")


def test_process_pool_digests_each_file(wandb_server: LocalServer, tmp_path: Path, environment: dict[str, str]) -> None:
    contents = {f"media/{n}.bin": b"%d" % n * 1000 for n in range(8)}
    for name, data in contents.items():
        wandb_server.add_file(RUN, name, data)
    ending = run([str(EXAMPLES / "process_pool.py"), RUN], tmp_path, environment)
    assert (ending.returncode, ending.stderr) == (0, "")
    digests = [f"{hashlib.sha256(data).hexdigest()} {name}" for name, data in contents.items()]
    assert ending.stdout.splitlines() == digests


def test_test_with_the_fixture_passes(tmp_path: Path, environment: dict[str, str]) -> None:
    shutil.copy(EXAMPLES / "test_with_fixture.py", tmp_path)
    ending = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"], tmp_path, environment)
    assert ending.returncode == 0, ending.stdout
    assert "3 passed" in ending.stdout


class Visitor:
    """An HTTP client that reads only on command, with small network buffers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.answer = bytearray()

    async def ask(self, path: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        await loop.sock_sendall(self._socket, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())

    async def read(self, count: int | None = None) -> None:
        """Read until that many bytes of the response have arrived, or to its end."""
        while count is None or len(self.answer) < count:
            piece = await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16)
            if not piece:
                return
            self.answer += piece

    def close(self) -> None:
        self._socket.close()

    @property
    def status(self) -> bytes:
        return bytes(self.answer.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        return bytes(self.answer.partition(b"\r\n\r\n")[2])


@asynccontextmanager
async def web_service(store: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Visitor]:
    """The example behind a real web server, and a client of it."""
    monkeypatch.setenv("WANDB_BASE_URL", store.base_url)
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    monkeypatch.syspath_prepend(EXAMPLES)
    config = uvicorn.Config("web_service:app", ws="none", lifespan="on", log_config=None)
    service, listener = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(service.serve(sockets=[listener]))
    try:
        with closing(Visitor(listener.getsockname()[1])) as visitor:
            yield visitor
    finally:
        service.should_exit = True
        await task


async def quiet(store: ScriptedServer) -> None:
    """Return when the store has sent nothing for some iterations of the event loop."""
    before = -1
    while before != store.sent:
        before = store.sent
        for _ in range(3000):
            await asyncio.sleep(0)


class TestWebService:
    async def test_web_service_sends_a_file(self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        server.put("media/ä.bin", b"content" * 1000)
        async with web_service(server, monkeypatch) as visitor:
            await visitor.ask(f"/{RUN}/media/%C3%A4.bin")
            await visitor.read()
        assert visitor.status == b"200"
        assert visitor.body == b"content" * 1000
        assert b"content-length: 7000\r\n" in bytes(visitor.answer).lower()

    async def test_missing_file_is_404(self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        async with web_service(server, monkeypatch) as visitor:
            await visitor.ask(f"/{RUN}/nothing")
            await visitor.read()
        assert visitor.status == b"404"

    async def test_slow_client_slows_down_reading_from_the_store(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = os.urandom(MIB) * 96
        ahead = 32 * MIB
        """The capacity of the network's buffers on both sides of the service, and of its own."""
        server.put("large.bin", content)
        async with web_service(server, monkeypatch) as visitor:
            await visitor.ask(f"/{RUN}/large.bin")
            for count in (1, 16, 48):
                await visitor.read(count * MIB)
                await quiet(server)
                assert count * MIB <= server.sent <= len(visitor.answer) + ahead
            await visitor.read()
        assert visitor.body == content

    async def test_disconnected_client_stops_the_reading(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.put("large.bin", bytes(96 * MIB))
        async with web_service(server, monkeypatch) as visitor:
            await visitor.ask(f"/{RUN}/large.bin")
            await visitor.read(MIB)
            visitor.close()
            await settled(lambda: not server.busy)
            assert server.sent < 64 * MIB


class TestNotebook:
    def test_notebook_is_stored_without_outputs(self) -> None:
        cells = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
        assert {str(cell["execution_count"]) for cell in cells if cell["cell_type"] == "code"} == {"None"}
        assert [cell["outputs"] for cell in cells if cell["cell_type"] == "code" and cell["outputs"]] == []

    def test_both_styles_work_in_one_kernel(
        self, wandb_server: LocalServer, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        contents = {"config.yaml": b"a: 1", "media/table.json": b"[]", "model.bin": b"...", "summary.json": b"{}"}
        for name, data in contents.items():
            wandb_server.add_file("my-team/my-project/1a2b3c4d", name, data)
        notebook = str(shutil.copy(EXAMPLES / "notebook.ipynb", tmp_path))
        execute = ["-W", "default", "-c", "from nbclient.cli import main; main()", "--inplace", notebook]
        ending = run(execute, tmp_path, environment)
        assert ending.returncode == 0, ending.stderr
        cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
        shown = [
            ("".join(output["data"]["text/plain"]), "".join(output["data"].get("text/html", [])))
            for cell in cells
            for output in cell.get("outputs", ())
        ]
        texts = [text for text, _ in shown]
        assert texts[1] == "4"
        assert texts[3] == "3 of 3 files, 8 of 8 B", "the progress of the blocking download, as it ended"
        assert "['media/table.json', 'summary.json']" in texts
        assert texts[-2:] == ["1 of 1 file, 2 of 2 B", "'[]'"]
        assert [html.partition(" ")[0] for _, html in shown if html] == [
            *("<div>Files", "<div>File", "<div><progress", "<div>Download", "<div><progress")
        ]
        assert {path.name for path in (tmp_path / "data").rglob("*.*")} == {"config.yaml", "table.json", "summary.json"}
