"""Every system call of a download, and the permitted effects of its failure.

A process has finished its imports. For each case strace is attached to a fork of it, and from then on one call always
fails. If no file needs the call, the download must succeed; otherwise it must raise a typed error soon, and leave
nothing behind. The last test checks that the table is complete.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from strace import Tracer, tracing

from wbfiles_async.testing import LocalServer

SCRIPT = Path(__file__).parent / "scripts" / "swept_download.py"
RUN = "team/project/run1"
MANY = "team/project/many"
MANY_FILES = 40
FILES = {
    "A": b"A",
    "a": b"a",
    "folder/b.txt": b"b" * 1000,
    "large.bin": bytes(range(256)) * 4096 * 9,
}
STATE = ".wbfiles-state"
SETTINGS = "wandb/settings"


@attrs.frozen(kw_only=True)
class Row:
    """A call that fails.

    Attributes:
        call: Its name.
        errors: How it fails; each is a case.
        may_stop: Whether a file, or all, may fail because of it.
        why: What it is for.
        when: Which of the calls fail, in strace's syntax.
        path: The only file concerned; all files if empty.
        run: What is downloaded.
        message: A part of the error message, if not the errno.
    """

    call: str
    errors: str
    may_stop: bool
    why: str
    when: str = "1+"
    path: str = ""
    run: str = RUN
    message: str = ""


def done_without(call: str, errors: str, why: str, **more: Any) -> Row:
    return Row(call=call, errors=errors, may_stop=False, why=why, **more)


def needed(call: str, errors: str, why: str, **more: Any) -> Row:
    return Row(call=call, errors=errors, may_stop=True, why=why, **more)


ROWS = (
    # Checks in advance, to report problems sooner
    done_without("access", "EACCES", "whether the folder can be written: writing shows"),
    done_without("statfs", "ENOSYS", "the room on the disk: writing shows"),
    done_without("unlinkat", "EPERM", "the probe for case: it is hidden, and left"),
    # Optional properties of a file
    done_without("fchmod", "EPERM EROFS", "permissions"),
    done_without("utimensat", "EPERM", "times"),
    done_without("fcntl", "EINVAL ENOLCK", "leases, to resume by"),
    done_without("ftruncate", "EOPNOTSUPP EIO", "the length in advance, for what is noted behind it"),
    # Facts about the machine
    done_without("uname", "ENOSYS", "the host's name, to resume by"),
    done_without("getrandom", "ENOSYS", "Python reads the device then"),
    # Caches and settings
    done_without("openat", "EACCES EIO", "what was right before", path=STATE, run=MANY),
    done_without("openat", "EACCES ELOOP", "W&B's settings of the folder", path=SETTINGS),
    done_without("read", "EIO", "W&B's settings of the folder", path=SETTINGS),
    # Sockets
    done_without("setsockopt", "ENOPROTOOPT", "sending at once", when="1+"),
    done_without("connect", "ECONNREFUSED", "tried again", when="2"),
    done_without("epoll_wait", "EINTR", "waited again", when="2"),
    done_without("clone3", "ENOSYS", "an older call starts threads too"),
    done_without("pwrite64", "EINTR", "written again", when="1"),
    done_without("openat", "EINTR", "opened again", when="2"),
    # The file and its folders
    needed("mkdir", "EACCES EDQUOT", "the root"),
    needed("mkdirat", "EROFS EIO", "a folder"),
    needed("openat", "EACCES EMFILE ENFILE ENOMEM ENOSPC", "the file"),
    needed("newfstatat", "EACCES", "what is there already"),
    needed("pwrite64", "EDQUOT EIO", "the bytes"),
    needed("renameat", "EACCES ENOENT", "putting it in place"),
    # The network, the event loop and its threads
    needed("socket", "EMFILE EPERM", "a connection", message="cannot be reached"),
    needed("connect", "EACCES ENETUNREACH", "a connection", message="cannot be reached"),
    needed("getsockopt", "EINVAL", "whether it is there", message="cannot be reached"),
    needed("ioctl", "EINVAL", "sockets that do not wait", message="cannot have their thread and event loop"),
    needed("epoll_create1", "EMFILE", "the event loop", message="cannot have their thread and event loop"),
    needed("socketpair", "EMFILE", "the event loop", message="cannot have their thread and event loop"),
    needed("clone3", "EAGAIN", "the first thread", message="cannot have their thread and event loop"),
    needed("clone3", "EAGAIN", "further threads", when="2+", message=""),
)
CASES = [(row, error) for row in ROWS for error in row.errors.split()]

PYTHONS = {
    "memory": "brk mmap munmap mprotect madvise mremap",
    "threads, locks and signals": "futex rt_sigaction rt_sigprocmask rseq set_robust_list gettid getpid tgkill exit "
    "exit_group restart_syscall sched_yield clock_nanosleep clock_gettime",
    "files that are open, and sockets": "lseek getsockname read write close poll epoll_ctl sendto recvfrom shutdown "
    "recvmsg sendmsg getdents64 preadv2",
    "who runs it, and what else the C library asks": "geteuid sysinfo prlimit64 getcwd readlink",
}
"""Calls without a row: they cannot fail, or Python ends, or other tests make them fail: the scripted server (broken
connections), or `test_system_calls` (`fsync`, `linkat`, `close` of a file, the kernel's files of the process)."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("served")) as server:
        for name, data in FILES.items():
            server.add_file(RUN, name, data)
        for number in range(MANY_FILES):
            server.add_file(MANY, f"{number}", b"x")
        yield server


@pytest.fixture(scope="module")
def tracer(server: LocalServer) -> Iterator[Tracer]:
    with tracing(SCRIPT, server.base_url, server.api_key, RUN, MANY) as tracer:
        yield tracer


@attrs.frozen
class Outcome:
    """The outcome of a download."""

    end: dict[str, Any]
    calls: Sequence[str]
    root: Path

    @property
    def injected(self) -> int:
        return sum("(INJECTED)" in line for line in self.calls)

    @property
    def written(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.name != STATE
        }


Download = Callable[..., Outcome]


@pytest.fixture
def download(tracer: Tracer, tmp_path: Path) -> Download:
    """Download under strace with these options."""

    def run(*options: str, run: str = RUN) -> Outcome:
        (tmp_path / SETTINGS).parent.mkdir()
        (tmp_path / SETTINGS).write_text("[default]\nentity = team\n")
        traced = tracer.run(tmp_path, [run, "root"], options)
        return Outcome(json.loads(traced.out), traced.calls, tmp_path / "root")

    return run


@pytest.mark.fault(118, 119, 204)
@pytest.mark.parametrize(("row", "error"), CASES, ids=[f"{r.call}-{e}-{r.path or r.why}" for r, e in CASES])
def test_failing_call_is_contained(download: Download, row: Row, error: str) -> None:
    chosen = ["-P", row.path] if row.path else []  # as in the call: relative to its folder
    rules = ["-e", f"trace={row.call}", "-e", f"inject={row.call}:error={error}:when={row.when}"]
    outcome = download(*chosen, *rules, run=row.run)
    assert outcome.injected
    end, failures = outcome.end, outcome.end["failures"]
    if not row.may_stop:
        assert (end["error"], failures) == (None, {})
        assert len(outcome.written) == (len(FILES) if row.run == RUN else MANY_FILES)
    else:
        errors = [*failures.values(), *([[end["error"], end["errno"], end["message"]]] if end["error"] else [])]
        assert errors or row.when == "2+", "an error is reported, or there is another way"
        for kind, code, message in errors:
            assert kind in ("LocalWriteError", "TransferError", "StoreUnavailableError")
            assert code == (getattr(errno, error) if kind == "LocalWriteError" else None)
            assert row.message in message
            assert "check the disk" not in message or error in ("EXDEV", "EBUSY")
    if row.run == RUN:
        assert outcome.written.items() <= FILES.items(), "whole files, and nothing left over"


def test_table_is_complete(download: Download) -> None:
    outcome = download()
    assert outcome.written == FILES
    made = {match[1] for line in outcome.calls if (match := re.match(r"\d+ +(\w+)\(", line))}
    known = {row.call for row in ROWS} | {call for calls in PYTHONS.values() for call in calls.split()}
    assert made - known == set()
    assert {row.call for row in ROWS} - made <= {"access"}
