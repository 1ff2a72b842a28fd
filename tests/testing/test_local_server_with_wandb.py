"""Tests LocalServer with the real wandb: logs a run, then uses it with ``wandb.Api()``."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._requests import RecordedRequest

_SCRIPTS = Path(__file__).parent.parent / "scripts"
_SAVED = {
    "saved/model.bin": os.urandom(700_000),
    "saved/pending.txt": b"pending",
    "saved/ä b#1%.txt": b"odd name",
    "saved/empty": b"",
}


@attrs.frozen
class Logged:
    """A server that wandb has logged a run to."""

    server: LocalServer
    home: Path
    requests: tuple[RecordedRequest, ...]
    files: dict[str, bytes]

    @property
    def run(self) -> Path:
        return self.server.root / "team" / "vision" / "run1"


def _wandb(script: str, server: LocalServer, home: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "WANDB_BASE_URL": server.base_url,
        "WANDB_API_KEY": server.api_key,
        "WANDB_DIR": str(home),
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
    }
    command = [sys.executable, str(_SCRIPTS / script), *arguments]
    child = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=100)
    assert child.returncode == 0, child.stderr
    return child.stdout


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    home, source = tmp_path_factory.mktemp("wandb"), tmp_path_factory.mktemp("source")
    for name, data in _SAVED.items():
        path = source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    with LocalServer(tmp_path_factory.mktemp("served"), entity="team") as server:
        _wandb("wandb_logs_a_run.py", server, home, str(source))
        run = server.root / "team" / "vision" / "run1"
        files = {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}
        requests = server.requests
        server.clear_requests()
        yield Logged(server, home, requests, files)


@pytest.fixture(scope="module")
def seen(logged: Logged) -> Any:
    """The script's output of what wandb.Api() saw."""
    return json.loads(_wandb("wandb_uses_files.py", logged.server, logged.home))


def test_logged_run_has_saved_files_and_those_of_wandb(logged: Logged) -> None:
    assert {name: logged.files.get(name) for name in _SAVED} == _SAVED
    added = {"config.yaml", "requirements.txt", "wandb-metadata.json", "wandb-summary.json"}
    assert logged.files.keys() == _SAVED.keys() | added
    assert json.loads(logged.files["wandb-summary.json"])["loss"] == 0.5


def test_only_telemetry_is_unsupported(logged: Logged) -> None:
    refused = {request.path for request in logged.requests if request.status >= 400}
    assert {path for path in refused if not path.startswith("/sdk/otel/")} == set()
    operations = {request.operation for request in logged.requests if request.path == "/graphql"}
    assert {"UpsertBucket", "CreateRunFiles"} <= operations


def test_run_is_as_it_was_logged(seen: Any) -> None:
    assert seen["entity"] == "team"
    assert seen["run"] == {"state": "finished", "name": "First", "config": {"lr": 0.1}, "loss": 0.5}
    assert seen["runs"] == ["run1"]
    assert seen["other_runs"] == []


def test_all_files_are_listed_as_they_lie_on_the_disk(logged: Logged, seen: Any) -> None:
    assert seen["count"] == len(logged.files)
    assert [file["name"] for file in seen["files"]] == sorted(logged.files)
    for file in seen["files"]:
        data = logged.files[file["name"]]
        assert file["size"] == len(data)
        assert base64.b64decode(file["md5"]) == hashlib.md5(data).digest()


def test_files_are_found_by_name_and_by_pattern(seen: Any) -> None:
    assert seen["by_names"] == ["saved/model.bin", "wandb-summary.json"]
    assert seen["by_pattern"] == ["saved/model.bin"]
    assert seen["missing"] == 0


def test_downloads_respect_existing_files(logged: Logged, seen: Any) -> None:
    assert "File already exists" in seen["existing"]
    assert seen["exist_ok"] == "changed"
    assert (logged.home / "first" / "saved" / "model.bin").read_bytes() == _SAVED["saved/model.bin"]
    assert seen["odd"] == "odd name"


@pytest.mark.usefixtures("seen")
def test_store_never_saw_the_key(logged: Logged) -> None:
    store = [request for request in logged.server.requests if request.path.startswith("/store/")]
    assert {request.method for request in store} == {"GET", "PUT"}
    assert not any(request.authorized for request in store)


def test_deleted_file_is_gone(logged: Logged, seen: Any) -> None:
    assert seen["after_delete"] == ["saved/empty", "saved/model.bin", "saved/ä b#1%.txt"]
    assert not (logged.run / "saved" / "pending.txt").exists()


def test_uploaded_file_exists(logged: Logged, seen: Any) -> None:
    assert seen["added"] == {"name": "added.json", "size": 15, "mimetype": "application/json"}
    assert (logged.run / "added.json").read_bytes() == b'{"added": true}'
