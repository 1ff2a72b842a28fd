"""Runs ``wbfiles``, or another program, in a child: in a pipe, or on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from wbfiles_async.testing import LocalServer

SECONDS = 20.0
"""The time limit on a busy machine, in seconds."""


WBFILES = [sys.executable, "-m", "wbfiles_async"]


# Makes it the controlling terminal, like a shell, so that Ctrl-C reaches the child.
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def environment(server: LocalServer) -> dict[str, str]:
    environ = os.environ | {
        "WANDB_BASE_URL": server.base_url,
        "WANDB_API_KEY": server.api_key,
        "TERM": "xterm-256color",
    }
    for name in ("COLUMNS", "PYTHONUNBUFFERED"):  # would hide what is not flushed
        environ.pop(name, None)
    return environ


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def start(arguments: list[str], server: LocalServer, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        WBFILES + arguments,
        cwd=folder,
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def started(arguments: list[str], server: LocalServer, folder: Path) -> Iterator[subprocess.Popen[str]]:
    with start(arguments, server, folder) as child:
        try:
            yield child
        finally:
            child.kill()


class Terminal:
    """A child on a pseudo-terminal of these rows and columns, `wbfiles` or another; `out` takes its stdout instead."""

    def __init__(
        self,
        arguments: list[str],
        environ: dict[str, str],
        folder: Path,
        *,
        program: list[str] = WBFILES,
        out: IO[str] | None = None,
        size: tuple[int, int] = (24, 80),
    ) -> None:
        self._screen, line = pty.openpty()
        fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self._child = subprocess.Popen(
            [sys.executable, "-IS", "-c", ON_TERMINAL, *program, *arguments],
            cwd=folder,
            env=environ,
            stdin=line,
            stdout=line if out is None else out,
            stderr=line,
            start_new_session=True,
        )
        os.close(line)
        self.raw = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._screen)

    @property
    def text(self) -> str:
        """The output so far, without control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw).replace("\r\n", "\n")

    def wait_for_a_read(self) -> None:
        """Wait until the child's main thread sleeps: a signal just before its read is handled only after the answer."""
        stat = Path(f"/proc/{self._child.pid}/stat")
        deadline = time.monotonic() + SECONDS
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, self.raw

    def read_until(self, condition: Callable[[str], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition(self.text):
            assert time.monotonic() < deadline, self.raw
            assert self._read(), self.raw

    def read_to_end(self) -> int:
        """Return the exit code."""
        while self._read():
            pass
        return self._child.wait(SECONDS)

    def type(self, text: bytes) -> None:
        os.write(self._screen, text)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._screen], [], [], SECONDS)
        assert ready, self.raw
        try:
            piece = os.read(self._screen, 1 << 16)
        except OSError:  # on Linux this means that the other side is closed
            piece = b""
        self.raw += piece.decode("utf-8", "replace")
        return bool(piece)
