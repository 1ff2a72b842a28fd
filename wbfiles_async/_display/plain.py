"""Progress where nothing can be drawn: a plain line now and then, for logs of work that takes minutes or hours."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from wbfiles_async._display.painter import Painter
from wbfiles_async._display.tally import Tally

SECONDS_A_LINE = 10.0
"""Few enough that a log of an hour stays readable, and that a quick download writes nothing."""


@contextmanager
def lines(seconds: float = SECONDS_A_LINE) -> Iterator[Callable[[Sequence[Tally]], None]]:
    """Open stderr for lines, the first of them after as many seconds as lie between two."""
    last = time.monotonic()

    def draw(tallies: Sequence[Tally]) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            with suppress(ValueError):  # it was closed meanwhile
                print(*(f"wbfiles: {tally.words()}" for tally in tallies), sep="\n", file=sys.stderr, flush=True)

    yield draw


def painter() -> Painter:
    """Return the one of this process: there is one stderr."""
    return _painter


def _new() -> Painter:
    return Painter(lines, seconds=1.0, patience=SECONDS_A_LINE / 2)


_painter = _new()


def _forget_parent() -> None:
    global _painter
    _painter = _new()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
