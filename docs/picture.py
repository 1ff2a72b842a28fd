"""Makes docs/demo.svg, the picture in the README: ``nox -s picture``.

``wbfiles demo`` runs on a pseudo-terminal of 80 columns. The picture shows what stood there when the download had
come about half way, and below it what stood there at the end, when the bars are gone.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, LINES = 80, 24
TARGET = Path(__file__).with_name("demo.svg")
COLOURS = {"default": None, "brown": "yellow"}


def recorded(command: list[str], folder: str) -> Iterator[bytes]:
    """Run a command on a terminal of its own, and yield what it writes, as it arrives."""
    screen, line = pty.openpty()
    fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    child = subprocess.Popen(command, cwd=folder, env=environment, stdin=line, stdout=line, stderr=line)
    os.close(line)
    try:
        while piece := os.read(screen, 1 << 16):
            yield piece
    except OSError:  # Linux's way to say that the other side is closed
        pass
    finally:
        os.close(screen)
        if child.wait():
            raise SystemExit(f"{command[0]} ended with {child.returncode}")


def style_of(cell: pyte.screens.Char) -> Style:
    """Return how a cell looks."""
    colour = COLOURS.get(cell.fg, f"#{cell.fg}" if re.fullmatch("[0-9a-f]{6}", cell.fg) else cell.fg)
    return Style(color=colour, bold=cell.bold)


def lines_of(screen: pyte.Screen) -> list[Text]:
    """Return what stands on a screen, in its colours."""
    lines = []
    for row in range(LINES):
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        # Word by word, since each gets a place of its own then: whatever the reader's font, columns stay columns.
        words = groupby(cells, key=lambda cell: (style_of(cell), cell.data == " "))
        line = Text.assemble(*(("".join(cell.data for cell in word), style) for (style, _), word in words))
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def main() -> None:
    """Run, choose the moment, and draw."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    under_way: list[tuple[float, list[Text]]] = []
    with tempfile.TemporaryDirectory() as folder:
        for piece in recorded([sys.executable, "-m", "wbfiles_async", "demo"], folder):
            stream.feed(piece)
            lines = lines_of(screen)
            text = "\n".join(line.plain for line in lines)
            if found := re.search(r"model\.bin .* ([0-9.]+)( MiB)? of 48\.0 MiB", text):
                under_way.append((abs(float(found[1]) - 24), lines))
    if not under_way:
        raise SystemExit("The demo was done before it could be seen; try again.")
    _, moment = min(under_way, key=lambda one: one[0])

    picture = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    prompt = Text.assemble(("$ ", "bold green"), "wbfiles demo")
    for line in [prompt, *moment, Text(), *lines_of(screen)]:
        picture.print(line, no_wrap=True)
    svg = picture.export_svg(title="wbfiles demo", unique_id="wbfiles")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # the reader's browser shall request no fonts
    TARGET.write_text(svg, encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
