"""A server with a project for workers, which find it and its key in the environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from wbfiles_async import Api
from wbfiles_async.testing import LocalServer

PROJECT = "team/project"


@attrs.frozen
class Project:
    """A project on a server.

    Attributes:
        server: The server.
        api: A client of it.
        files: The content of each file, by ``run_id/name``.
    """

    server: LocalServer
    api: Api
    files: dict[str, bytes] = attrs.field(factory=dict)

    def add(self, runs: int, files: int = 2, size: int = 300) -> None:
        """Add runs with that many files each."""
        for run in range(runs):
            for file in range(files):
                self.add_file(f"run{run:04}", f"media/{file}.txt", f"{run} {file} ".encode() * (size // 4))

    def add_file(self, run: str, name: str, data: bytes) -> None:
        """Add a file."""
        self.server.add_file(f"{PROJECT}/{run}", name, data)
        self.files[f"{run}/{name}"] = data

    def store_requests(self) -> int:
        """The number of requests to the store."""
        return sum(request.method == "GET" and request.path.startswith("/store/") for request in self.server.requests)


def tree(root: Path) -> dict[str, bytes]:
    """All files below a folder, by their paths in it."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty project."""
    with LocalServer(tmp_path / "served", remembered_requests=100_000) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.base_url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        with Api() as api:
            yield Project(server, api)
