"""Where a command's words go: results to stdout, all that is only for people to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import attrs
from rich.console import Console

from wbfiles_async._text import printable


@attrs.frozen
class Output:
    """What the user wants to see.

    Attributes:
        quiet: Nothing but errors and results that were asked for.
        json: One JSON object a line on stdout, for programs.
    """

    quiet: bool = False
    json: bool = False

    @property
    def shows_progress(self) -> bool:
        """Whether somebody watches a terminal that nothing else is written to meanwhile."""
        busy = self.json and sys.stdout.isatty()
        return sys.stderr.isatty() and not Console(stderr=True).is_dumb_terminal and not self.quiet and not busy

    def say(self, text: str = "") -> None:
        """Tell people something on stderr."""
        if not self.quiet and not self.json:
            print(text, file=sys.stderr, flush=True)


def write_json(value: Mapping[str, object]) -> None:
    """Write one line of JSON; plain ASCII, so that it is the same everywhere and steers no terminal."""
    print(json.dumps(value), flush=True)


def write_row(*cells: object) -> None:
    """Write one line of cells between tabs; ``-`` for what is not known."""
    print(*("-" if cell in (None, "") else printable(str(cell)) for cell in cells), sep="\t", flush=True)


def console() -> Console:
    """Give stdout for tables: in colours where it is a terminal, and with nothing in a name taken for markup."""
    return Console(markup=False, highlight=False, emoji=False)
