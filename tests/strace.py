"""Traces the system calls of scripts that serve cases in forks, or makes them fail: see ``scripts/forks.py``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

SECONDS = 60


@attrs.frozen
class Traced:
    """A finished case.

    Attributes:
        out: Its stdout.
        calls: The traced calls, as strace writes them.
    """

    out: str
    calls: Sequence[str]


class Tracer:
    """A script, and strace for its cases."""

    def __init__(self, script: subprocess.Popen[str]) -> None:
        self._script = script

    def run(self, folder: Path, arguments: Sequence[str], options: Sequence[str]) -> Traced:
        """Run a case in a folder, under strace with these options, until it exits successfully."""
        log = folder / "calls"
        child = int(self._ask(json.dumps([str(folder), *arguments])))
        try:
            with subprocess.Popen(
                ["strace", "-f", "-e", "signal=none", "-o", log, *options, "-p", str(child)],
                stderr=subprocess.PIPE, text=True, cwd=folder,
            ) as tracer:  # fmt: skip
                assert tracer.stderr is not None
                while "attached" not in (line := tracer.stderr.readline()):
                    assert line, "strace has ended"
                self._send("")
                tracer.communicate(timeout=SECONDS)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            raise
        code = int(self._read())
        assert code == 0, (folder / "err").read_text()
        return Traced((folder / "out").read_text(), log.read_text().splitlines())

    def _ask(self, line: str) -> str:
        self._send(line)
        return self._read()

    def _send(self, line: str) -> None:
        assert self._script.stdin is not None
        self._script.stdin.write(f"{line}\n")
        self._script.stdin.flush()

    def _read(self) -> str:
        assert self._script.stdout is not None
        line = self._script.stdout.readline()
        assert line, "the script has ended"
        return line


@contextmanager
def tracing(script: Path, *arguments: str) -> Iterator[Tracer]:
    """Start a script. Skips the test if strace is missing, or must not be attached."""
    with subprocess.Popen(
        [sys.executable, script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            _check_strace(child.pid)
            yield Tracer(child)
        finally:
            child.kill()


def _check_strace(process: int) -> None:
    try:
        probe = subprocess.Popen(["strace", "-o", os.devnull, "-p", str(process)], stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        pytest.skip("needs strace")
    with probe:
        assert probe.stderr is not None
        line = probe.stderr.readline()
        probe.terminate()
    if "attached" not in line:
        pytest.skip(f"needs the right to trace: {line.strip()}")
