"""Real failures of system calls, injected by strace."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from strace import Tracer, tracing

from wbfiles_async.testing import LocalServer

SCRIPT = Path(__file__).parent / "scripts" / "one_download.py"
RUN = "team/project/run1"
Download = Callable[..., tuple[Any, Sequence[str]]]
OLD = b"what was there before"
FILES = {"small.bin": b"small" * 1000, "large.bin": bytes(range(256)) * 4096 * 3 + b"the end"}
each_size = pytest.mark.parametrize("name", FILES)


@pytest.fixture(scope="module")
def tracer() -> Iterator[Tracer]:
    with tracing(SCRIPT) as tracer:
        yield tracer


@pytest.fixture
def served(wandb_server: LocalServer) -> LocalServer:
    for name, data in FILES.items():
        wandb_server.add_file(RUN, name, data)
    return wandb_server


@pytest.fixture
def traced(tracer: Tracer, served: LocalServer, tmp_path: Path) -> Download:
    """Download a file under strace with these options; return the outcome, and the traced calls."""

    def run(name: str, *options: str, replace: bool = True) -> tuple[Any, Sequence[str]]:
        root = tmp_path / "root"
        root.mkdir()
        if replace:
            (root / name).write_bytes(OLD)
        arguments = [served.base_url, served.api_key, name, str(root), *["replace"] * replace]
        done = tracer.run(tmp_path, arguments, options)
        return json.loads(done.out), done.calls

    return run


def injected(call: str, error: str, when: str = "1") -> Sequence[str]:
    return "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"


@pytest.mark.fault(82, 87, 88)
@each_size
@pytest.mark.parametrize(
    ("call", "error"),
    [("pwrite64", "EIO"), ("fsync", "EIO"), ("renameat", "EXDEV"), ("renameat", "EBUSY")],
)
def test_failing_call_raises_and_leaves_only_the_old_file(
    traced: Download, tmp_path: Path, name: str, call: str, error: str
) -> None:
    # The journal of a large file may fail; strace counts the calls per thread.
    when = "1+" if (name, call) == ("large.bin", "pwrite64") else "1"
    end, calls = traced(name, *injected(call, error, when))
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
    traced: Download, tmp_path: Path, name: str, call: str, error: str, when: str, where: str
) -> None:
    root = tmp_path / "root"
    paths = {"temporary": root / f".{name}.wbfiles-part", "folder": root}
    chosen = ["-P", str(paths.get(where, where))] if where else []
    end, calls = traced(name, *chosen, *injected(call, error, when), replace=False)
    assert any("(INJECTED)" in line for line in calls)
    assert end["error"] is None
    assert [(path.name, path.read_bytes()) for path in root.iterdir()] == [(name, FILES[name])]


@pytest.mark.fault(118)
@each_size
def test_failed_unlink_of_the_temporary_name_keeps_the_file(traced: Download, tmp_path: Path, name: str) -> None:
    end, calls = traced(name, *injected("unlinkat", "EPERM", "1+"), replace=False)
    assert any("(INJECTED)" in line for line in calls)
    assert end["error"] is None
    assert (tmp_path / "root" / name).read_bytes() == FILES[name]


@pytest.mark.fault(82, 118)
def test_failed_cleanup_keeps_the_original_error(traced: Download, tmp_path: Path) -> None:
    root = tmp_path / "root"
    options = ("-e", "trace=fsync,unlinkat", "-e", "inject=fsync:error=EIO", "-e", "inject=unlinkat:error=EROFS")
    end, _ = traced("small.bin", *options)
    assert end == {"error": "LocalWriteError", "errno": errno.EIO}
    assert (root / "small.bin").read_bytes() == OLD


@pytest.mark.fault(82, 92)
def test_disk_error_while_flushing_a_folder_raises(traced: Download, tmp_path: Path) -> None:
    root = tmp_path / "root"
    end, _ = traced("small.bin", "-P", str(root), *injected("fsync", "EIO"))
    assert end == {"error": "LocalWriteError", "errno": errno.EIO}


@pytest.mark.fault(82, 87, 89)
@each_size
def test_failing_close_is_not_ignored(traced: Download, tmp_path: Path, name: str) -> None:
    """A network file system reports a failed write only on close."""
    temporary = tmp_path / "root" / f".{name}.wbfiles-part"
    end, calls = traced(name, "-P", str(temporary), *injected("close", "EIO"))
    assert any("(INJECTED)" in line for line in calls)
    assert end == {"error": "LocalWriteError", "errno": errno.EIO}
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "root").iterdir()] == [(name, OLD)]


@pytest.mark.fault(83)
@pytest.mark.parametrize(("name", "call"), [("small.bin", "recvfrom"), ("large.bin", "pwrite64")])
def test_interrupted_call_is_not_noticed(traced: Download, tmp_path: Path, name: str, call: str) -> None:
    end, calls = traced(name, *injected(call, "EINTR"))
    assert any("(INJECTED)" in line for line in calls)
    assert end["error"] is None
    assert (tmp_path / "root" / name).read_bytes() == FILES[name]


@pytest.mark.fault(92)
@each_size
def test_durable_order_of_flush_and_rename(traced: Download, tmp_path: Path, name: str) -> None:
    end, calls = traced(
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
