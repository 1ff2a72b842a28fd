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
    """Run it in a process of its own: what else the tests have open, and keep, is no part of it."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.fault(94, 115)
def test_random_programs_end_in_the_right_bytes_or_a_typed_error_and_leave_nothing() -> None:
    tally = soak("soak", "--seed", "1", "--programs", "120").splitlines()[-1]
    assert "right" in tally
    assert "TransferError" in tally
    assert "stopped" in tally


@pytest.mark.fault(91)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_download_killed_at_any_step_leaves_the_old_file_or_the_new_one() -> None:
    tally = soak("soak.kills").splitlines()[-1]
    assert "killed, old" in tally
    assert "killed, complete" in tally


def test_a_seed_decides_on_the_whole_program() -> None:
    assert make_program(7) == make_program(7)
    assert make_program(7) != make_program(8)
