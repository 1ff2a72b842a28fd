"""Uploads use little memory, and never block the event loop."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import RUN, Answer, ScriptedServer, Seen, client, graphql_answer
from scripted_server import server as server

GIB = 1 << 30


class Sink:
    """A store that receives bodies in its own thread, and keeps only their length."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.received = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/upload/a.bin"

    def _serve(self) -> None:
        buffer = bytearray(1 << 20)
        connection, _ = self._listener.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096)
            head, _, rest = head.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            self.received = len(rest)
            while self.received < length:
                self.received += connection.recv_into(buffer)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    store = Sink()
    yield store
    store.close()


async def test_gigabyte_upload_takes_little_memory(server: ScriptedServer, sink: Sink, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.touch()
    os.truncate(path, GIB)

    def listed(seen: Seen) -> Answer:
        if sink.received == GIB and "a.bin" not in server.files:
            server.put("a.bin", b"", sizeBytes=GIB, md5=None)
        if "createRunFiles" in json.loads(seen.body)["query"]:
            files = [{"name": "a.bin", "uploadUrl": sink.url}]
            return graphql_answer({"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}})
        return server.answer_api(seen)

    server.on("/graphql", listed)
    async with client(server) as api:
        tracemalloc.start()
        try:
            report = await api.run(RUN).upload(path, tmp_path, raise_on_error=False)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (report.uploaded, report.bytes) == (1, GIB), report.failures
    assert peak < 24 << 20


async def test_loop_runs_while_a_slow_disk_is_read(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading, stat calls and walks are slow here; none of them runs in the event loop's thread."""
    folder = tmp_path / "slow"
    folder.mkdir()
    for name in ("small", "large"):
        (folder / name).write_bytes(b"x" * (10 if name == "small" else 3 << 20))
    loop_thread, blocked = threading.get_ident(), list[str]()

    def slow(name: str) -> None:
        real = getattr(os, name)

        def work(*args: object, **options: object) -> object:
            if str(args[0]).startswith(str(folder)) or name in ("pread", "fstat"):
                if threading.get_ident() == loop_thread:
                    blocked.append(name)
                time.sleep(0.02)
            return real(*args, **options)

        monkeypatch.setattr(os, name, work)

    async with client(server) as api:
        await api.run(RUN).files().count()  # what is loaded at its first use
        for name in ("pread", "fstat", "scandir", "lstat", "stat", "open"):
            slow(name)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        report = await api.run(RUN).upload(folder, folder)
        ticking.cancel()
    monkeypatch.undo()
    assert (report.uploaded, blocked) == (2, [])
    assert ticks > 20
