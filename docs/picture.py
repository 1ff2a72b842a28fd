"""Makes docs/demo.svg, the picture in the README: ``nox -s picture``.

``wbfiles demo`` runs on a pseudo-terminal of 80 columns. The picture shows what stood there when the download had
come about half way, and below it what stood there at the end, when the bars are gone.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pyte
from drawing import drawn, lines_of, played, prompt
from rich.text import Text

TARGET = Path(__file__).with_name("demo.svg")


def main() -> None:
    """Run, choose the moment, and draw."""
    under_way: list[tuple[float, list[Text]]] = []

    def watch(screen: pyte.Screen, _: int) -> None:
        lines = lines_of(screen)
        text = "\n".join(line.plain for line in lines)
        if found := re.search(r"model\.bin .* ([0-9.]+)( MiB)? of 48\.0 MiB", text):
            under_way.append((abs(float(found[1]) - 24), lines))

    with tempfile.TemporaryDirectory() as folder:
        screen, code = played([sys.executable, "-m", "wbfiles_async", "demo"], folder, watch)
    if code:
        raise SystemExit(f"The demo ended with {code}.")
    if not under_way:
        raise SystemExit("The demo was done before it could be seen; try again.")
    _, moment = min(under_way, key=lambda one: one[0])
    svg = drawn([prompt("wbfiles demo"), *moment, Text(), *lines_of(screen)], "wbfiles demo")
    TARGET.write_text(svg, encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
