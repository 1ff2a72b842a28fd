"""Typical scripts for ``wandb.Api``, which run with both packages after a change of the import.

Each ends with a step that is not about files. With ``wandb`` it may work; here the error says where to do it, after
all the steps before have succeeded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from wbfiles_async._models import RunPath
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._records import RunRecord

SCRIPTS = Path(__file__).parent / "scripts" / "for_wandb"
IMPORT = "import wandb\n"
SECONDS = 60
NOON = 1_750_000_000
PROJECT = "team/project"
RUN = f"{PROJECT}/first"
FILES = {
    "checkpoints/step-9.ckpt": bytes(9),
    "checkpoints/step-10.ckpt": bytes(10) + b"latest",
    "checkpoints/step-100.ckpt.tmp": b"unfinished",
    "config.yaml": b"lr: 0.1\n",
    "media/table/a.table.json": b'{"columns": ["a"], "data": [[1], [2]]}',
    "media/loss: train.png": bytes(range(256)),
    "model.pt": bytes(1000),
    "wandb-summary.json": '{"loss": 0.25, "größe": 7}'.encode(),
}
RUNS = {"first": ("sweep 1", "finished"), "second": ("sweep 2", "finished"), "third": ("sweep 3", "crashed")}
ELSEWHERE = {
    "all_files": "summary",
    "latest_checkpoint": "history",
    "configs": "config",
    "json_of_a_run": "artifact",
    "delete_by_extension": "tags",
}
"""The scripts, and the step of each that is not about files."""


SAYS = {
    "all_files": "data/media/loss: train.png r",
    "latest_checkpoint": "latest: checkpoints/step-10.ckpt 16 of [9, 10]",
    "configs": "first\tsweep 1\tfinished\tlr: 0.1",
    "json_of_a_run": "0.25 7",
    "delete_by_extension": "freed 1025 bytes",
}
"""A part of each script's output, which shows that it worked."""


@attrs.frozen
class Outcome:
    """A script's output, the end of its stderr, its files, and those of the server."""

    out: str
    error: str
    here: Mapping[str, bytes]
    there: Mapping[str, bytes]


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    with LocalServer(tmp_path / "served", clock=lambda: NOON) as server:
        for number, (run, (name, state)) in enumerate(RUNS.items()):
            created = f"2026-01-0{number + 1}T00:00:00"
            record = RunRecord(display_name=name, state=state, created_at=created, heartbeat_at=created)  # type: ignore[arg-type]
            server._records.change(RunPath("team", "project", run), lambda _, record=record: record)  # type: ignore[misc]
            for age, (file, data) in enumerate(FILES.items()):
                os.utime(server.add_file(f"{PROJECT}/{run}", file, data), (NOON - age, NOON - age))
        yield server


def played(server: LocalServer, script: str, module: str, folder: Path) -> Outcome:
    """Run a script with a package, in an empty folder."""
    text = (SCRIPTS / f"{script}.py").read_text(encoding="utf-8")
    assert text.count(IMPORT) == 1
    assert "wbfiles" not in text
    changed = text.replace(IMPORT, IMPORT if module == "wandb" else f"import {module} as wandb\n")
    (folder / "work").mkdir(parents=True)
    (folder / "script.py").write_text(changed, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, folder / "script.py", PROJECT if script == "configs" else RUN],
        cwd=folder / "work",
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "WANDB_BASE_URL": server.base_url,
            "WANDB_API_KEY": server.api_key,
            "WANDB_ERROR_REPORTING": "false",
            "PYTHONUTF8": "1",
        },
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    there = {name: data for name, data in tree(server.root).items() if not name.startswith(".wbfiles/")}
    return Outcome(done.stdout, lines[-1] if done.returncode else "", tree(folder / "work"), there)


@pytest.mark.parametrize("script", ELSEWHERE)
def test_scripts_give_the_same_result_with_both(server: LocalServer, tmp_path: Path, script: str) -> None:
    theirs = played(server, script, "wandb", tmp_path / "theirs")
    before = theirs.there
    for run in RUNS:  # the same initial state
        for age, (name, data) in enumerate(FILES.items()):
            os.utime(server.add_file(f"{PROJECT}/{run}", name, data), (NOON - age, NOON - age))
    ours = played(server, script, "wbfiles_async", tmp_path / "ours")

    name = ELSEWHERE[script]
    assert f"wbfiles_async handles files only; for {name} use wandb.Api()" in ours.error
    assert SAYS[script] in ours.out
    last = (theirs.out.removeprefix(ours.out) if theirs.out.startswith(ours.out) else "-").splitlines()
    assert len(last) <= 1, (ours.out, theirs.out, theirs.error)
    assert {name: data for name, data in ours.here.items() if name != "wandb"} == {
        name: data for name, data in theirs.here.items() if not name.startswith(("wandb/", "artifacts/"))
    }
    assert ours.there == before


def test_all_scripts_are_compared() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.py")} == set(ELSEWHERE)
