"""Real failures of system calls, injected by strace."""

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
    """Skips if strace is missing, or must not trace."""
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
    """Download the file under strace with these options; return the outcome, and the traced calls."""
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
def test_failing_call_raises_and_leaves_only_the_old_file(
    served: LocalServer, tmp_path: Path, name: str, call: str, error: str
) -> None:
    # The journal of a large file may fail; strace counts the calls per thread.
    when = "1+" if (name, call) == ("large.bin", "pwrite64") else "1"
    end, calls = traced(served, tmp_path / "root", name, *injected(call, error, when))
    assert any("(INJECTED)" in line for line in calls)
    assert end == {"error": "LocalWriteError", "errno": getattr(errno, error)}
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "root").iterdir()] == [(name, OLD)]


NO_LINKS = ("EPERM", "EACCES", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EMLINK", "EXDEV")
SPARED = [
    *(("linkat", error, "1", "") for error in NO_LINKS),
    ("fchmod", "EPERM", "1+", "temporary"),
    ("fchmod", "EOPNOTSUPP", "1+", "temporary"),
    ("utimensat", "EPERM", "1+", "temporary"),
    ("fcntl", "EMFILE", "1+", "temporary"),  # which duplicates the descriptor
    ("fsync", "EINVAL", "1+", "folder"),
    ("fsync", "EACCES", "1+", "folder"),
    ("openat", "EACCES", "1+", "/proc/self/status"),
]
"""Optional calls: which fail, how, when, and for which file."""

SPARED_OF_LARGE = [
    ("ftruncate", "EOPNOTSUPP", "1", "temporary"),  # no journal behind the end then
    ("statfs", "ENOSYS", "1+", "folder"),
    ("openat", "EACCES", "1+", "/proc/sys/kernel/random/boot_id"),
]


@pytest.mark.fault(89, 118)
@pytest.mark.parametrize(
    ("name", "call", "error", "when", "where"),
    [(name, *row) for name in FILES for row in SPARED] + [("large.bin", *row) for row in SPARED_OF_LARGE],
)
def test_optional_calls_cannot_stop_a_download(
    served: LocalServer, tmp_path: Path, name: str, call: str, error: str, when: str, where: str
) -> None:
    root = tmp_path / "root"
    paths = {"temporary": root / f".{name}.wbfiles-part", "folder": root}
    chosen = ["-P", str(paths.get(where, where))] if where else []
    end, calls = traced(served, root, name, *chosen, *injected(call, error, when), replace=False)
    assert any("(INJECTED)" in line for line in calls)
    assert end["error"] is None
    assert [(path.name, path.read_bytes()) for path in root.iterdir()] == [(name, FILES[name])]


@pytest.mark.fault(118)
@each_size
def test_failed_unlink_of_the_temporary_name_keeps_the_file(served: LocalServer, tmp_path: Path, name: str) -> None:
    end, calls = traced(served, tmp_path / "root", name, *injected("unlinkat", "EPERM", "1+"), replace=False)
    assert any("(INJECTED)" in line for line in calls)
    assert end["error"] is None
    assert (tmp_path / "root" / name).read_bytes() == FILES[name]


@pytest.mark.fault(82, 118)
def test_failed_cleanup_keeps_the_original_error(served: LocalServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    options = ("-e", "trace=fsync,unlinkat", "-e", "inject=fsync:error=EIO", "-e", "inject=unlinkat:error=EROFS")
    end, _ = traced(served, root, "small.bin", *options)
    assert end == {"error": "LocalWriteError", "errno": errno.EIO}
    assert (root / "small.bin").read_bytes() == OLD


@pytest.mark.fault(82, 92)
def test_disk_error_while_flushing_a_folder_raises(served: LocalServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    end, _ = traced(served, root, "small.bin", "-P", str(root), *injected("fsync", "EIO"))
    assert end == {"error": "LocalWriteError", "errno": errno.EIO}


@pytest.mark.fault(82, 87, 89)
@each_size
def test_failing_close_is_not_ignored(served: LocalServer, tmp_path: Path, name: str) -> None:
    """A network file system reports a failed write only on close."""
    temporary = tmp_path / "root" / f".{name}.wbfiles-part"
    end, calls = traced(served, tmp_path / "root", name, "-P", str(temporary), *injected("close", "EIO"))
    assert any("(INJECTED)" in line for line in calls)
    assert end == {"error": "LocalWriteError", "errno": errno.EIO}
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "root").iterdir()] == [(name, OLD)]


@pytest.mark.fault(83)
@pytest.mark.parametrize(("name", "call"), [("small.bin", "recvfrom"), ("large.bin", "pwrite64")])
def test_interrupted_call_is_not_noticed(served: LocalServer, tmp_path: Path, name: str, call: str) -> None:
    end, calls = traced(served, tmp_path / "root", name, *injected(call, "EINTR"))
    assert any("(INJECTED)" in line for line in calls)
    assert end["error"] is None
    assert (tmp_path / "root" / name).read_bytes() == FILES[name]


@pytest.mark.fault(92)
@each_size
def test_durable_order_of_flush_and_rename(served: LocalServer, tmp_path: Path, name: str) -> None:
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
