"""A terminal without a window: runs a command on it, and draws its screen as SVG."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, LINES = 80, 40
COLOURS = {"default": None, "brown": "yellow"}

Watch = Callable[[pyte.Screen, int], None]
"""Called after each write, with the screen and the descriptor for keyboard input."""


def played(
    command: Sequence[str], folder: str, watch: Watch | None = None, environ: Mapping[str, str] | None = None
) -> tuple[pyte.Screen, int]:
    """Run a command on its own terminal; return the final screen and the exit code."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    keys, line = pty.openpty()
    fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    known = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | dict(environ or {})
    child = subprocess.Popen(
        command, cwd=folder, env=known, stdin=line, stdout=line, stderr=line,
        preexec_fn=lambda: _take_terminal(line),
    )  # fmt: skip
    os.close(line)
    with contextlib.suppress(OSError):  # on Linux this means that the other side is closed
        while piece := os.read(keys, 1 << 16):
            stream.feed(piece)
            if watch is not None:
                watch(screen, keys)
    os.close(keys)
    return screen, child.wait()


def _take_terminal(line: int) -> None:
    os.setsid()  # so that Ctrl-C reaches it
    fcntl.ioctl(line, termios.TIOCSCTTY, 0)


def _style_of(cell: pyte.screens.Char) -> Style:
    colour = COLOURS.get(cell.fg, f"#{cell.fg}" if re.fullmatch("[0-9a-f]{6}", cell.fg) else cell.fg)
    return Style(color=colour, bold=cell.bold)


def lines_of(screen: pyte.Screen) -> list[Text]:
    """Return the text of a screen, with its colours."""
    lines = []
    for row in range(LINES):
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        # Word by word, each at its own position, so that columns stay aligned in any font.
        words = groupby(cells, key=lambda cell: (_style_of(cell), cell.data == " "))
        line = Text.assemble(*(("".join(cell.data for cell in word), style) for (style, _), word in words))
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def prompt(command: str) -> Text:
    """Return the prompt line with a command."""
    return Text.assemble(("$ ", "bold green"), command)


def drawn(lines: Iterable[Text], title: str) -> str:
    """Draw lines as SVG."""
    picture = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    for line in lines:
        picture.print(line, no_wrap=True)
    svg = picture.export_svg(title=title, unique_id="wbfiles")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # no font requests by the reader's browser
