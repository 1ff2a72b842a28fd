"""``wbfiles cat``: bytes on stdout, unchanged, as they arrive, and verified."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import API_KEY, Answer, ScriptedServer
from scripted_server import server as server
from terminal import SECONDS, WBFILES, environment, wait_for
from test_processes import MIB, RUN
from throttle import HoldingServer

from wbfiles_async._cli import main
from wbfiles_async.testing import LocalServer

EVERY_BYTE = bytes(range(256)) * 4096 * 3 + b"\r\n\x1a\x00end"


def cat(server: LocalServer, folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*WBFILES, "cat", RUN, *arguments], cwd=folder, env=environment(server), capture_output=True, timeout=60
    )


def begin(server: LocalServer, folder: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*WBFILES, "cat", RUN, name],
        cwd=folder,
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[HoldingServer]:
    with HoldingServer(tmp_path / "served") as server:
        server.add_file(RUN, "held.bin", EVERY_BYTE)
        yield server


def test_bytes_are_written_unchanged(wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "odd ä/\x1b.bin", EVERY_BYTE)
    wandb_server.add_file(RUN, "empty", b"")
    result = cat(wandb_server, tmp_path, "odd ä/\x1b.bin")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == EVERY_BYTE
    empty = cat(wandb_server, tmp_path, "empty")
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("0:10", EVERY_BYTE[:10]),
        (":10", EVERY_BYTE[:10]),
        ("1000:1003", EVERY_BYTE[1000:1003]),
        (f"{len(EVERY_BYTE) - 5}:", EVERY_BYTE[-5:]),
        ("5:5", b""),
        (":", EVERY_BYTE),
        ("999999999:", b""),
    ],
)
def test_range_is_written(
    wandb_server: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    span: str,
    expected: bytes,
) -> None:
    wandb_server.add_file(RUN, "a.bin", EVERY_BYTE)
    monkeypatch.setenv("WANDB_BASE_URL", wandb_server.base_url)
    monkeypatch.setenv("WANDB_API_KEY", wandb_server.api_key)
    assert main(["cat", RUN, "a.bin", "--range", span]) == 0
    assert capfdbinary.readouterr() == (expected, b"")


def test_range_is_written_by_a_process(wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "a.bin", EVERY_BYTE)
    result = cat(wandb_server, tmp_path, "a.bin", "--range", "1000:1003")
    assert (result.returncode, result.stdout, result.stderr) == (0, EVERY_BYTE[1000:1003], b"")


@pytest.mark.parametrize("span", ["5", "5:4", "-5:", "a:b", "1:2:3", ""])
def test_invalid_range_is_a_usage_error(capsys: pytest.CaptureFixture[str], span: str) -> None:
    assert main(["cat", RUN, "a.bin", f"--range={span}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("wbfiles: Invalid value for '--range'")


def test_missing_file_is_exit_code_4(wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "a", b"")
    result = cat(wandb_server, tmp_path, "absent.bin")
    assert (result.returncode, result.stdout) == (4, b"")
    assert b"absent.bin" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_bytes_are_written_as_they_arrive(holding: HoldingServer, tmp_path: Path) -> None:
    half = len(EVERY_BYTE) // 2
    with begin(holding, tmp_path, "held.bin") as child:
        assert child.stdout is not None
        assert child.stdout.read(half // 2) == EVERY_BYTE[: half // 2]
        holding.release()
        assert child.stdout.read() == EVERY_BYTE[half // 2 :]
        assert child.stderr is not None
        assert child.stderr.read() == b""
        assert child.wait(SECONDS) == 0


async def test_wrong_md5_is_reported_with_its_exit_code(server: ScriptedServer, tmp_path: Path) -> None:
    server.put("a.bin", b"right", Answer(body=b"wrong"))
    environ = os.environ | {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": API_KEY}
    child = await asyncio.create_subprocess_exec(
        *WBFILES, "cat", RUN, "a.bin", cwd=tmp_path, env=environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()
    assert (child.returncode, out) == (1, b"wrong")
    assert err.startswith(b"wbfiles: a.bin: the output is not the file")
    assert len(err.splitlines()) == 1


def test_closed_pipe_ends_it_quietly(wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "a.bin", bytes(64 * MIB))
    with begin(wandb_server, tmp_path, "a.bin") as child:
        assert child.stdout is not None
        assert child.stdout.read(10) == bytes(10)
        child.stdout.close()
        assert child.wait(SECONDS) == 141
        assert child.stderr is not None
        assert child.stderr.read() == b""


def test_ctrl_c_interrupts_a_wait_for_the_server(holding: HoldingServer, tmp_path: Path) -> None:
    with begin(holding, tmp_path, "held.bin") as child:
        holding.wait_until_held()
        assert child.stdout is not None
        child.stdout.read(1)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, err) == (130, b"")


def test_ctrl_c_interrupts_a_blocked_write(wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "a.bin", bytes(64 * MIB))
    with begin(wandb_server, tmp_path, "a.bin") as child:
        assert child.stdout is not None
        pipe = child.stdout.fileno()
        size = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
        wait_for(lambda: struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"0000"))[0] == size)
        child.send_signal(signal.SIGINT)
        assert child.wait(SECONDS) == 130, "while the pipe is full"
        assert child.stderr is not None
        assert child.stderr.read() == b""


def test_full_disk_behind_stdout_is_reported(wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "a.bin", b"x")
    with open("/dev/full", "wb") as full:
        child = subprocess.run(
            [*WBFILES, "cat", RUN, "a.bin"], cwd=tmp_path, env=environment(wandb_server), stdout=full,
            stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip
    assert (child.returncode, child.stderr) == (1, b"wbfiles: No space left on device\n")


def test_closed_stdout_is_reported(wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "a.bin", b"x")
    child = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *WBFILES, "cat", RUN, "a.bin"],
        cwd=tmp_path, env=environment(wandb_server), stderr=subprocess.PIPE, timeout=60,
    )  # fmt: skip
    assert child.returncode == 1
    assert b"stdout is closed" in child.stderr


def test_memory_does_not_grow_with_the_file(wandb_server: LocalServer, tmp_path: Path) -> None:
    large = wandb_server.add_file(RUN, "large.bin", b"")
    os.truncate(large, 256 * MIB)  # sparse
    script = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *WBFILES, "cat", RUN, "large.bin"],
        cwd=tmp_path, env=environment(wandb_server), capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    code, kibibytes = map(int, result.stdout.split())
    assert code == 0
    assert kibibytes < 160 * 1024
