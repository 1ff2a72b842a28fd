"""The output of commands: results go to stdout, messages for people to stderr."""

from __future__ import annotations

import json
import logging
import re
import sys
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

import attrs
import click
from rich.console import Console

from wbfiles_async._text import printable

_UNIT = re.compile(r"(?<=[0-9]) (?=(?:s|B|[KMGTP]iB|files?)\b)")
"""The non-breaking blank between a number and its unit."""


@attrs.frozen
class Output:
    """The output options.

    Attributes:
        quiet: Only errors and requested results.
        json: One JSON object per line on stdout, for programs.
        log_level: Minimum level of the library's log messages to show.
    """

    quiet: bool = False
    json: bool = False
    log_level: int = logging.WARNING

    @property
    def shows_progress(self) -> bool:
        """Whether stderr is a terminal without other output."""
        busy = self.quiet or (self.json and is_terminal(sys.stdout))
        return not busy and is_terminal(sys.stderr) and not Console(stderr=True).is_dumb_terminal

    def say(self, text: str = "") -> None:
        """Write a message for people to stderr."""
        if not self.quiet and not self.json and sys.stderr is not None:
            with suppress(OSError):  # a closed stderr is no reason to end the work
                print(folded(text, sys.stderr), file=sys.stderr, flush=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a standard stream is a terminal; it may be closed or missing."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def folded(text: str, stream: TextIO) -> str:
    """Return a message, wrapped at blanks if stderr is a terminal."""
    if not is_terminal(stream):
        return text
    width = Console(file=stream).width
    return "\n".join(_folded(line, width) for line in text.split("\n"))


def _folded(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip(" "))) or "  "
    bound = _UNIT.sub("\xa0", line)
    broken = textwrap.fill(bound, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return broken.replace("\xa0", " ")


def check_stdout() -> None:
    """Check that stdout is open for a command's results.

    Raises:
        click.ClickException: stdout is closed.
    """
    if sys.stdout is None:  # and its descriptor may have been reused
        raise click.ClickException("stdout is closed.")


def write_json(value: Mapping[str, object]) -> None:
    """Write one line of JSON in ASCII: independent of the encoding, without control characters."""
    print(json.dumps(value), flush=True)


def write_row(*cells: object) -> None:
    """Write one line of tab-separated cells; ``-`` if unknown."""
    print(*("-" if cell in (None, "") else printable(str(cell)) for cell in cells), sep="\t", flush=True)


def console() -> Console:
    """Return a console for tables on stdout: coloured on a terminal, without interpreting markup in names."""
    return Console(markup=False, highlight=False, emoji=False)
