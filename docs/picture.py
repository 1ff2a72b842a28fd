"""Makes docs/demo.svg, the picture in the README: ``nox -s picture``.

``wbfiles demo`` runs on a pseudo-terminal of 80 columns. The picture shows the final screen: the bars of
the killed download, and the result of the second one.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from drawing import drawn, lines_of, played, prompt

TARGET = Path(__file__).with_name("demo.svg")


def main() -> None:
    """Run and draw."""
    with tempfile.TemporaryDirectory() as folder:
        screen, code = played([sys.executable, "-m", "wbfiles_async", "demo"], folder)
    if code:
        raise SystemExit(f"The demo ended with {code}.")
    TARGET.write_text(drawn([prompt("wbfiles demo"), *lines_of(screen)], "wbfiles demo"), encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
