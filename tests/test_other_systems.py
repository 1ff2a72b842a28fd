"""Windows and macOS, simulated on Linux: a few of the tests of `nox -s tests_portable`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from systems import STAND_IN, played
from throttle import HoldingServer

pytestmark = pytest.mark.skipif(sys.platform != "linux" or STAND_IN is not None, reason="Linux plays the other systems")

TESTS = Path(__file__).parent
RUN = "team/project/run1"
EVERYTHING = """
import pkgutil, sys
import wbfiles_async
for module in pkgutil.walk_packages(wbfiles_async.__path__, "wbfiles_async."):
    if not module.name.endswith((".__main__", ".posix" if "{system}" == "win32" else " ")):
        __import__(module.name)
from wbfiles_async._disk.system import open_root
print(type(open_root(".")).__name__)
"""


def ran(system: str | None, *arguments: str, seconds: float = 60) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=TESTS,
        env=played(system) if system else None,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.fault(127)
@pytest.mark.parametrize(("system", "kind"), [("win32", "PortableFolder"), ("darwin", "PosixFolder")])
def test_every_module_can_be_imported(system: str, kind: str) -> None:
    assert ran(system, "-c", EVERYTHING.format(system=system)).strip() == kind


@pytest.mark.fault(127)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_interrupted_file_is_resumed(system: str) -> None:
    output = ran(system, "-m", "pytest", "-q", "disk/test_resume.py", "disk/test_portable.py", seconds=280)
    assert " passed" in output
    assert "failed" not in output


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[HoldingServer]:
    with HoldingServer(tmp_path / "served") as server:
        server.add_file(RUN, "held.bin", bytes(4 << 20))
        yield server


@pytest.mark.fault(93, 127)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1], ids=["Ctrl-C", "Ctrl-Break"])
def test_windows_interrupt_keys_stop_a_command(holding: HoldingServer, tmp_path: Path, number: signal.Signals) -> None:
    known = {"WANDB_BASE_URL": holding.base_url, "WANDB_API_KEY": holding.api_key}
    command = [sys.executable, "-m", "wbfiles_async", "get", RUN, "--root", "data"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=played("win32") | known, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            holding.wait_until_held()
            for _ in range(3):
                child.send_signal(number)
            _, err = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 128 + number
    assert err.startswith("wbfiles: stopped")
    assert "Traceback" not in err
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


@pytest.mark.fault(91, 115, 127)
@pytest.mark.timeout(300)
def test_random_programs_and_kills() -> None:
    programs = ["-m", "soak", "--portable", "--seed", "1", "--programs", "20", "--jobs", "1"]
    assert "0 broke a promise" in ran(None, *programs, seconds=200)
    kills = ran(None, "-m", "soak.kills", "--portable", seconds=200)
    assert " 0 broke a promise" in kills
    assert "killed, old" in kills
    assert "killed, complete" in kills
