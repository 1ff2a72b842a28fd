"""A short run of the soak: random programs of faults, each decided by its seed; `nox -s soak` plays thousands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from soak.run import make_program

TESTS = Path(__file__).parent


def soak(*arguments: str) -> str:
    """Run it in its own process, without the descriptors and objects of other tests."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.fault(94, 115)
def test_random_programs_give_right_bytes_or_a_typed_error() -> None:
    tally = soak("soak", "--seed", "1", "--programs", "120").splitlines()[-1]
    assert "right" in tally
    assert "TransferError" in tally
    assert "stopped" in tally


@pytest.mark.fault(91)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_download_killed_at_any_step_leaves_a_whole_file() -> None:
    tally = soak("soak.kills").splitlines()[-1]
    assert "killed, old" in tally
    assert "killed, complete" in tally


def test_seed_determines_the_program() -> None:
    assert make_program(7) == make_program(7)
    assert make_program(7) != make_program(8)
