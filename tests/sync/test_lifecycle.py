"""The blocking objects in programs that start, are interrupted, fork and exit: each scenario is a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from systems import posix_only
from throttle import HoldingServer

SCRIPTS = Path(__file__).parent.parent / "scripts"
RUN = "team/project/run"
SMALL = {f"small-{number}.bin": os.urandom(1000 + number) for number in range(20)}
LARGE = os.urandom(2 << 20)
SECONDS = 20
"""The time limit of a process, in seconds: after it, the process hangs."""

# Python 3.12 warns of every fork with running threads, which is what these scenarios test.
WARNINGS = ("-X", "dev", "-W", "error", "-W", "ignore:This process (pid=:DeprecationWarning")
# In a forked child uvloop warns of the parent's connections, which the child must leave alone.
FORK_WARNINGS = ("-W", "ignore:unclosed resource <TCPTransport:ResourceWarning")
# In debug mode asyncio reports slow steps, which a busy machine has.
SLOW = re.compile(r"^Executing <.*> took \d+\.\d+ seconds\n", re.MULTILINE)

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals to one process are POSIX's")
linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open descriptors are listed in /proc")


class Child:
    """One of the scripts, running."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read_line(self) -> str:
        """Wait for a line of its output."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def go_on(self) -> None:
        """Send the line that it waits for."""
        assert self._process.stdin is not None
        _say(self._process.stdin)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, list[str], str]:
        """Wait for its end; return its exit code, the lines since the last call, and stderr."""
        output, errors = self._process.communicate(timeout=SECONDS)
        return self._process.returncode, output.splitlines(), SLOW.sub("", errors)

    def end_in_silence(self) -> list[str]:
        """Wait for its end, which must be a success with empty stderr; return the lines since the last call."""
        code, lines, errors = self.end()
        assert (code, errors) == (0, "")
        return lines


def _say(pipe: IO[str]) -> None:
    pipe.write("\n")
    pipe.flush()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HoldingServer]:
    with HoldingServer(tmp_path / "served") as server:
        for name, content in (SMALL | {"held.bin": LARGE, "large.bin": LARGE}).items():
            server.add_file(RUN, name, content)
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@contextmanager
def running(server: HoldingServer, script: str, *args: str | Path) -> Iterator[Child]:
    # By its name: lookups need threads, which an exiting interpreter may refuse.
    base_url = server.base_url.replace("127.0.0.1", "localhost")
    warnings = (*WARNINGS, *FORK_WARNINGS) if script == "facade_fork.py" else WARNINGS
    process = subprocess.Popen(
        [sys.executable, *warnings, SCRIPTS / script, *args],
        env=os.environ | {"WANDB_BASE_URL": base_url, "WANDB_API_KEY": server.api_key},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Child(process)
        finally:
            process.kill()


def wait_for(root: Path, names: Sequence[str]) -> None:
    """Wait until exactly these files exist, apart from temporary ones."""
    deadline = time.monotonic() + SECONDS
    while [name for name in below(root) if not name.startswith(".")] != names:
        assert time.monotonic() < deadline, below(root)
        time.sleep(0.01)


def below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


class TestExit:
    @pytest.mark.fault(99)
    @pytest.mark.parametrize("scenario", ["without_requests", "after_requests", "with_much_half_read"])
    def test_needs_no_close(self, server: HoldingServer, scenario: str) -> None:
        with running(server, "facade_exit.py", scenario) as child:
            assert child.end_in_silence() == []

    @pytest.mark.fault(99)
    @pytest.mark.parametrize(
        "scenario",
        [
            "during_a_download_of_a_daemon_thread",
            "during_a_download_of_a_daemon_thread_with_a_client_of_its_own",
        ],
    )
    def test_undoes_the_download_of_a_daemon_thread(self, server: HoldingServer, root: Path, scenario: str) -> None:
        with running(server, "facade_exit.py", scenario, root) as child:
            server.wait_until_held()
            assert [name.endswith(".bin") for name in below(root)] == [False], "a temporary file is being written"
            child.go_on()
            assert child.end_in_silence() == []
        assert below(root) == []

    def test_finishes_the_downloads_of_a_pool(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_exit.py", "with_downloads_pending_in_a_pool", root) as child:
            lines = child.end_in_silence()
        assert sorted(lines) == sorted(f"{name} {len(content)}" for name, content in SMALL.items())
        assert below(root) == sorted(SMALL)

    @pytest.mark.fault(99)
    def test_finishes_the_download_of_a_thread(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_exit.py", "with_a_thread_left", root) as child:
            assert child.end_in_silence() == ["small-0.bin 1000"]


@posix
class TestInterrupt:
    """Ctrl-C reaches the caller at once, after everything has been cleaned up."""

    @pytest.mark.fault(93)
    @pytest.mark.parametrize(
        ("scenario", "left"),
        [
            ("during_file_download", ""),
            ("during_run_download", " ".join(["large.bin", *sorted(SMALL)])),
            ("during_stream", ""),
        ],
    )
    def test_leaves_only_complete_files_and_a_client_that_works(
        self, server: HoldingServer, root: Path, scenario: str, left: str
    ) -> None:
        with running(server, "facade_interrupt.py", scenario, root) as child:
            server.wait_until_held()
            wait_for(root, left.split())
            child.interrupt()
            assert child.end_in_silence() == ["interrupt", "caught", left, "1000"]

    @pytest.mark.fault(93)
    def test_does_not_wait_for_the_disk_when_repeated(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_interrupt.py", "twice_with_a_disk_that_hangs", root) as child:
            assert child.read_line() == "writing"
            child.interrupt()
            assert child.read_line() == "interrupt"
            assert child.read_line() == "cancelled"
            child.interrupt()
            assert child.read_line() == "interrupt"
            assert {child.read_line(), child.read_line()} == {"caught", "cancelled"}
            assert child.end_in_silence()[-1] == "1000"
        assert below(root) == ["afterwards", "afterwards/small-0.bin"]

    def test_ends_a_script_that_does_not_expect_it(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_interrupt.py", "uncaught", root) as child:
            server.wait_until_held()
            child.interrupt()
            code, lines, errors = child.end()
        assert code == -signal.SIGINT
        assert lines == ["interrupt"]
        assert errors.count("Traceback") == 1
        assert errors.endswith("\nKeyboardInterrupt\n")
        assert below(root) == []


@posix_only("fork")
class TestFork:
    @pytest.mark.fault(99)
    @pytest.mark.parametrize("scenario", ["after_use", "multiprocessing_fork"])
    def test_gives_parent_and_child_a_client_that_works(self, server: HoldingServer, root: Path, scenario: str) -> None:
        with running(server, "facade_fork.py", scenario, root) as child:
            assert child.end_in_silence() == [
                "parent small-0.bin 1000",
                "child small-1.bin 1001",
                "child ended with 0",
                "parent small-2.bin 1002",
            ]

    @pytest.mark.fault(99)
    def test_works_before_the_first_use(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_fork.py", "before_use", root) as child:
            assert child.end_in_silence() == ["child small-1.bin 1001", "child ended with 0", "parent small-2.bin 1002"]

    @pytest.mark.fault(99)
    @pytest.mark.parametrize("scenario", ["without_use_in_the_child", "closed_in_the_child", "dropped_in_the_child"])
    def test_leaves_the_connections_to_the_parent(self, server: HoldingServer, root: Path, scenario: str) -> None:
        with running(server, "facade_fork.py", scenario, root) as child:
            output = child.end_in_silence()
        assert output == ["parent small-0.bin 1000", "child ended with 0", "parent small-2.bin 1002"]

    def test_leaves_partly_read_streams_to_the_parent(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_fork.py", "half_read", root) as child:
            assert child.end_in_silence() == [
                "parent small-0.bin and a piece",
                "child 20 ConfigurationError",
                "child ended with 0",
                f"parent 20 {len(LARGE)}",
            ]

    @pytest.mark.fault(99)
    def test_leaves_running_downloads_to_the_parent(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_fork.py", "during_a_download", root) as child:
            server.wait_until_held()
            child.go_on()
            assert child.read_line() == "child small-1.bin 1001"
            assert child.read_line() == "child ended with 0"
            assert child.read_line() == "still downloading"
            server.release()
            child.go_on()
            assert child.end_in_silence() == [f"parent held.bin {len(LARGE)}"]
        assert (root / "parent" / "held.bin").read_bytes() == LARGE


class TestSpawn:
    def test_gives_the_child_a_client_that_works(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_fork.py", "multiprocessing_spawn", root) as child:
            assert child.end_in_silence() == ["child small-1.bin 1001", "child ended with 0"]


class TestCallers:
    @pytest.mark.parametrize(
        ("scenario", "output"),
        [
            ("in_a_running_loop", ["1000 20", "1002", "1002", "1002", "1001"]),
            ("in_a_callback_of_a_running_loop", ["1000"]),
            ("in_twenty_threads", ["True"]),
            ("in_twenty_threads_over_one_listing", ["20 True"]),
            ("in_a_pool", [f"20 {sum(map(len, SMALL.values()))}"]),
        ],
    )
    def test_may_be_anywhere(self, server: HoldingServer, root: Path, scenario: str, output: Sequence[str]) -> None:
        with running(server, "facade_callers.py", scenario, root) as child:
            assert child.end_in_silence() == output

    def test_in_callbacks_raise_instead_of_deadlocking(self, server: HoldingServer, root: Path) -> None:
        server.release()
        with running(server, "facade_callers.py", "in_callbacks", root) as child:
            assert child.end_in_silence() == ["ConfigurationError True", "ConfigurationError True", "1000"]


class TestClients:
    @linux
    @pytest.mark.parametrize(
        ("scenario", "output"),
        [
            ("with_clients_that_are_dropped", ["closed"]),
            ("with_a_client_that_is_dropped_in_the_io_thread", ["True", "closed"]),
        ],
    )
    def test_are_closed_when_dropped(
        self, server: HoldingServer, root: Path, scenario: str, output: Sequence[str]
    ) -> None:
        with running(server, "facade_callers.py", scenario, root) as child:
            assert child.end_in_silence() == output

    def test_live_as_long_as_an_iteration(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_callers.py", "with_a_stream_that_alone_is_held", root) as child:
            assert child.end_in_silence() == [str(len(LARGE)), "20", str(sum(map(len, SMALL.values())))]

    def test_may_be_closed_twice(self, server: HoldingServer, root: Path) -> None:
        with running(server, "facade_callers.py", "with_clients_that_are_closed", root) as child:
            output = child.end_in_silence()
        assert output == ["This client is closed. Make a new one, or close it later.", "1000"]
