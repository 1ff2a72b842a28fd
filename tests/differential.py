"""Compares `wandb` and this package with the same faulty store. `python tests/differential.py` prints the table.

Each download finds an older file at its path.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._thread import Service

RUN = "team/project/run1"
SCRIPT = Path(__file__).parent / "scripts" / "faulty_downloads.py"
LINE = b"what was logged, as it was logged\n"

FAULTS = {
    "cut once": "a body is truncated, once",
    "always cut": "a body is truncated, each time",
    "cut without a length": "a body without a length is truncated, each time",
    "wrong bytes": "the bytes are not those that were stored",
    "expired once": "the signed URL has expired",
    "no ranges": "the store ignores ranges (a file of 10 MiB)",
}
"""The store's fault, by the name of the file."""


def content(name: str) -> bytes:
    """Return the stored bytes of the name."""
    return LINE * (10 * (1 << 20) // len(LINE)) if name == "no ranges" else LINE


class FaultyServer(LocalServer):
    """A ``LocalServer`` whose store has the fault that a file's name states."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._request_counts: Counter[str] = Counter()

    def _services(self) -> tuple[Service, Service]:
        api, store = super()._services()
        store.app.middlewares.append(self._inject_fault)
        return api, store

    @web.middleware
    async def _inject_fault(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.match_info["name"]
        self._request_counts[name] += 1
        if name.endswith(" once") and self._request_counts[name] > 1:
            return await handler(request)
        match name:
            case "cut once" | "always cut":
                return _broken_off(request, f"Content-Length: {len(LINE)}")
            case "cut without a length":
                return _broken_off(request, "Connection: close")
            case "wrong bytes":
                return web.Response(body=LINE[::-1])
            case "expired once":
                body = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
                return web.Response(status=403, text=body)
            case "no ranges":
                return web.Response(body=content(name))
        return await handler(request)


def _broken_off(request: web.Request, header: str) -> web.Response:
    """Send a head and half a body, and close."""
    assert request.transport is not None
    request.transport.write(f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode() + LINE[: len(LINE) // 2])
    request.transport.close()
    return web.Response()  # which leads nowhere


@attrs.frozen
class Seen:
    """A script's observations with one of the two packages.

    Attributes:
        files: The outcome of each file's download, by name.
        link: The error for a file behind a symbolic link below the root.
        outside: Whether that wrote to the link's target.
        listed: The number of files listed for a run that was removed, or the error.
    """

    files: Mapping[str, Mapping[str, Any]]
    link: str | None
    outside: bool
    listed: int | str

    def cells(self) -> dict[str, str]:
        """Return the outcome of each fault in words."""
        return {
            **{FAULTS[name]: _describe(name, **end) for name, end in self.files.items()},
            "a folder in the name is a link out of the root": "written through the link" if self.outside else "refused",
            "the run was deleted meanwhile": "an error" if isinstance(self.listed, str) else f"{self.listed} files",
        }


def _describe(name: str, *, error: str | None, shown: str, old: bool, md5: str) -> str:
    if md5 == hashlib.md5(content(name)).hexdigest():
        return "the right file" if error is None else "an error beside the right file"
    outcome = "success" if error is None else "an error"
    return f"{outcome}; the old file stays" if old else f"{outcome}; a wrong file replaces the old one"


def see(module: str) -> Seen:
    """Run a script's downloads with one of the two packages, each from its own server."""
    with tempfile.TemporaryDirectory() as folder, FaultyServer(Path(folder) / "served") as server:
        for name in (*FAULTS, "link/a.txt"):
            server.add_file(RUN, name, content(name))
        environ = {"PATH": os.environ["PATH"], "HOME": folder, "WANDB_ERROR_REPORTING": "false", "PYTHONUTF8": "1"}
        environ |= {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key}
        command = [sys.executable, str(SCRIPT), module, RUN, folder, *FAULTS]
        pipes: Mapping[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=folder, env=environ, text=True, **pipes) as child:
            try:
                assert child.stdout is not None
                while (line := child.stdout.readline().strip()) != "take the run away":
                    assert line, "the script ended early"
                shutil.rmtree(Path(folder) / "served" / RUN)
                output, _ = child.communicate("\n", timeout=60)
            finally:
                child.kill()
    return Seen(**json.loads(output.splitlines()[-1]))


def table(wandb: Seen, ours: Seen) -> str:
    """Return the table for the page that compares them."""
    mine = ours.cells()
    lines = [f"| {fault} | {cell} | {mine[fault]} |" for fault, cell in wandb.cells().items()]
    return "\n".join(["| what happens | `wandb` | `wbfiles_async` |", "|---|---|---|", *lines])


if __name__ == "__main__":
    print(table(see("wandb"), see("wbfiles_async")))
