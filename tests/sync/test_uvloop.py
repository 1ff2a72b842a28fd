"""The blocking objects and the command line run on uvloop if installed, otherwise on asyncio's loop."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wbfiles_async.testing import LocalServer

RUN = "team/vision/abc12345"
FILES = {"small.txt": b"small", "large.bin": bytes(range(256)) * (9 << 12)}

PROGRAM = """
import asyncio, sys
if sys.argv[1] == "without":
    sys.modules["uvloop"] = None
from wbfiles_async import Api, TransferOptions
from wbfiles_async._cli import main
from wbfiles_async._sync.portal import run_blocking

async def loop() -> str:
    return type(asyncio.get_running_loop()).__module__

with Api(options=TransferOptions(part_size=1 << 20)) as api:
    files = {file.name: file for file in api.run(sys.argv[2]).files()}
    files["large.bin"].fetch("parts")
    assert b"".join(files["large.bin"].stream()) == files["large.bin"].read_bytes()
    assert files["small.txt"].read_text() == "small"
print(run_blocking(loop))
sys.exit(main(["get", sys.argv[2], "--root", "command", "--quiet"]))
"""


@pytest.mark.parametrize(
    ("installed", "loop"),
    [
        pytest.param(
            "with",
            "uvloop",
            marks=pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed"),
        ),
        ("without", "asyncio.unix_events"),
    ],
)
def test_objects_work_on_the_installed_loop(
    wandb_server: LocalServer, tmp_path: Path, installed: str, loop: str
) -> None:
    for name, data in FILES.items():
        wandb_server.add_file(RUN, name, data)
    command = [sys.executable, "-W", "error", "-c", PROGRAM, installed, RUN]
    environment = os.environ | {"WANDB_BASE_URL": wandb_server.base_url, "WANDB_API_KEY": wandb_server.api_key}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{loop}\n")
    assert (tmp_path / "parts" / "large.bin").read_bytes() == FILES["large.bin"]
    assert {name: (tmp_path / "command" / name).read_bytes() for name in FILES} == FILES
