"""Slow, interrupted and dead links: real ones, between two network namespaces."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "scripts" / "network.py"
PROBE = "ip link add one type veth peer name other && tc qdisc add dev one root tbf rate 1mbit burst 16kb latency 1s"


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    """Skips if namespaces cannot be created."""
    try:
        probe = subprocess.run(["unshare", "--net", "sh", "-c", PROBE], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs the command unshare")
    if probe.returncode:
        pytest.skip(f"needs the right to make network namespaces, ip and tc: {probe.stderr.strip()}")


def play(scenario: str) -> Any:
    """Run a scenario of the script; return its outcome."""
    command = ["unshare", "--net", sys.executable, str(SCRIPT), scenario]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.fault(15)
def test_slow_link_is_not_a_fault() -> None:
    end = play("slow")
    assert (end["error"], end["right"], end["requests"]) == (None, True, 1)
    assert end["seconds"] > 0.5, "it took longer than the window in which silence counts as a fault"


@pytest.mark.fault(55)
def test_temporary_link_outage_is_survived() -> None:
    end = play("down for a while")
    assert (end["error"], end["right"], end["left"]) == (None, True, [])


@pytest.mark.fault(56)
def test_vanished_peer_is_noticed() -> None:
    end = play("vanished")
    assert (end["right"], end["left"]) == (False, [".a.bin.wbfiles-part"]), "what came is kept to go on from"
    assert end["error"].startswith("TransferError: a.bin: 10.77.0.1 ")


@pytest.mark.fault(54)
def test_unreachable_host_raises() -> None:
    end = play("unreachable")
    assert end["left"] == []
    reasons = ["no connection in time", "No route to host", "Permission denied", "Network is unreachable"]
    for error, reason in zip(end["errors"], reasons, strict=True):
        assert error.startswith("TransferError: ")
        assert "cannot be reached" in error
        assert reason in error
