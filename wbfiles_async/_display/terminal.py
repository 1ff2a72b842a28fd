"""The progress display on a terminal: a bar per download, and one for each of its largest files in progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table

from wbfiles_async._display.painter import Painter
from wbfiles_async._display.tally import BARS, LARGE_BYTES, Tally, amount_of
from wbfiles_async._text import printable

ROOM = 3
"""Empty columns at the right."""


@contextmanager
def _canvas() -> Iterator[Callable[[Sequence[Tally]], None]]:
    live = Live(
        console=Console(stderr=True, markup=False, highlight=False, emoji=False),
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # printed lines appear above the display
    )
    with live:

        def draw(tallies: Sequence[Tally]) -> None:
            # The terminal writes ^C at the cursor. On an empty line, or at the end of a line with room for it, that
            # moves nothing, and the display can still be erased.
            drawn = Constrain(Group(*map(picture, tallies)), max(1, live.console.width - ROOM))
            live.update(Group(drawn, ""), refresh=True)

        yield draw


def painter() -> Painter:
    """Return this process's painter, since there is one terminal."""
    return _painter


_painter = Painter(_canvas)


def _forget_parent() -> None:
    global _painter
    _painter = Painter(_canvas)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


def picture(tally: Tally) -> RenderableType:
    """Draw a tally."""
    share = tally.share
    overall = Table.grid(expand=True)
    overall.add_row(ProgressBar(total=None) if share is None else ProgressBar(total=1, completed=share))
    overall.add_row(tally.words())
    bars = Table.grid(
        Column(ratio=3, no_wrap=True, overflow="ellipsis"),
        Column(ratio=2, no_wrap=True),
        Column(min_width=len("1000.0 KiB of 1000.0 MiB"), justify="right", no_wrap=True),
        padding=(0, 1),
        expand=True,
    )
    for transfer in tally.largest(BARS, least=LARGE_BYTES):
        name, total, arrived = printable(transfer.name), transfer.total, transfer.arrived
        bars.add_row(name, ProgressBar(total=total, completed=arrived), amount_of(transfer), style="dim")
    return Group(overall, bars)
