"""Progress without a terminal or notebook: an occasional plain line, for logs of long downloads."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from wbfiles_async._display.painter import Painter
from wbfiles_async._display.tally import Tally

SECONDS_A_LINE = 10.0
"""Rare enough that the log of an hour stays readable, and a quick download writes nothing."""


@contextmanager
def lines(seconds: float = SECONDS_A_LINE) -> Iterator[Callable[[Sequence[Tally]], None]]:
    """Open stderr for lines, the first one after one interval."""
    last = time.monotonic()

    def draw(tallies: Sequence[Tally]) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            with suppress(ValueError):  # it has been closed
                print(*(f"wbfiles: {tally.words()}" for tally in tallies), sep="\n", file=sys.stderr, flush=True)

    yield draw


def painter() -> Painter:
    """Return this process's painter, since there is one stderr."""
    return _painter


def _new() -> Painter:
    return Painter(lines, seconds=1.0, patience=SECONDS_A_LINE / 2)


_painter = _new()


def _forget_parent() -> None:
    global _painter
    _painter = _new()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
