"""System calls that fail, for real: strace answers them in the kernel's place."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wbfiles_async.testing import LocalServer

SCRIPT = Path(__file__).parent / "scripts" / "one_download.py"
RUN = "team/project/run1"
OLD = b"what was there before"
FILES = {"small.bin": b"small" * 1000, "large.bin": bytes(range(256)) * 4096 * 3 + b"the end"}
each_size = pytest.mark.parametrize("name", FILES)


@pytest.fixture(scope="module", autouse=True)
def strace() -> None:
    """Skips where strace is missing, or may not trace."""
    try:
        probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs strace")
    if probe.returncode:
        pytest.skip(f"needs the right to trace: {probe.stderr.strip()}")


@pytest.fixture
def served(wandb_server: LocalServer) -> LocalServer:
    for name, data in FILES.items():
        wandb_server.add_file(RUN, name, data)
    return wandb_server


def traced(
    server: LocalServer, root: Path, name: str, *options: str, replace: bool = True
) -> tuple[Any, Sequence[str]]:
    """Download the file under strace with these options; return how it ended, and the calls that were traced."""
    root.mkdir()
    if replace:
        (root / name).write_bytes(OLD)
    log = root.parent / "calls"
    download = [sys.executable, str(SCRIPT), server.base_url, server.api_key, name, str(root), *["replace"] * replace]
    command = ["strace", "-f", "-qq", "-e", "signal=none", "-o", str(log), *options, *download]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), log.read_text().splitlines()


def injected(call: str, error: str, when: str = "1") -> Sequence[str]:
    return "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"


@pytest.mark.fault(82, 87, 88)
@each_size
@pytest.mark.parametrize(
    ("call", "error"),
    [("pwrite64", "EIO"), ("fsync", "EIO"), ("renameat", "EXDEV"), ("renameat", "EBUSY")],
)
def test_a_call_that_fails_is_told_and_leaves_the_old_file_and_nothing_else(
    served: LocalServer, tmp_path: Path, name: str, call: str, error: str
) -> None:
    end, calls = traced(served, tmp_path / "root", name, *injected(call, error))
    assert any("(INJECTED)" in line for line in calls)
    assert end == {"error": "LocalWriteError", "errno": getattr(errno, error)}
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "root").iterdir()] == [(name, OLD)]


@pytest.mark.fault(89)
@each_size
@pytest.mark.parametrize("error", ["EOPNOTSUPP", "EPERM"])
def test_a_file_system_without_hard_links_does_as_well(
    served: LocalServer, tmp_path: Path, name: str, error: str
) -> None:
    end, calls = traced(served, tmp_path / "root", name, *injected("linkat", error), replace=False)
    assert any("(INJECTED)" in line for line in calls)
    assert end["error"] is None
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "root").iterdir()] == [(name, FILES[name])]


@pytest.mark.fault(82, 87, 89)
@each_size
def test_a_close_that_fails_is_not_ignored(served: LocalServer, tmp_path: Path, name: str) -> None:
    """A network file system tells of a failed write only then."""
    temporary = tmp_path / "root" / f".{name}.wbfiles-part"
    end, calls = traced(served, tmp_path / "root", name, "-P", str(temporary), *injected("close", "EIO"))
    assert any("(INJECTED)" in line for line in calls)
    assert end == {"error": "LocalWriteError", "errno": errno.EIO}
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "root").iterdir()] == [(name, OLD)]


@pytest.mark.fault(83)
@pytest.mark.parametrize(("name", "call"), [("small.bin", "recvfrom"), ("large.bin", "pwrite64")])
def test_an_interrupted_call_is_not_noticed(served: LocalServer, tmp_path: Path, name: str, call: str) -> None:
    end, calls = traced(served, tmp_path / "root", name, *injected(call, "EINTR"))
    assert any("(INJECTED)" in line for line in calls)
    assert end["error"] is None
    assert (tmp_path / "root" / name).read_bytes() == FILES[name]


@pytest.mark.fault(92)
@each_size
def test_a_durable_file_is_flushed_then_renamed_then_its_folder_is_flushed(
    served: LocalServer, tmp_path: Path, name: str
) -> None:
    end, calls = traced(
        served,
        tmp_path / "root",
        name,
        "-y",
        "-e",
        "trace=pwrite64,fsync,close,renameat",
        "-P",
        *(str(tmp_path / "root" / f".{name}.wbfiles-part"), "-P", str(tmp_path / "root")),
    )
    assert end["error"] is None
    order = [match[1] for line in calls if (match := re.search(r"\d+ +(\w+)\(", line)) and "unfinished" not in line]
    assert order.index("fsync") > max(n for n, call in enumerate(order) if call == "pwrite64")
    assert order[order.index("fsync") :][:4] == ["fsync", "close", "renameat", "fsync"]
