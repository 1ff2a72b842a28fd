"""The progress display in a notebook: HTML below the cell that started the download, where it stays at the end."""

from __future__ import annotations

import html
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from wbfiles_async._display.painter import Painter
from wbfiles_async._display.tally import BARS, LARGE_BYTES, Tally, amount_of
from wbfiles_async._text import printable


class Publisher(Protocol):
    """Sends output from a kernel to its notebook, like IPython's ``DisplayPublisher``."""

    def publish(self, data: Mapping[str, str], *, transient: Mapping[str, str], update: bool) -> object:
        """Show the data, replacing earlier data with the same ``display_id``."""


def find_publisher() -> Publisher | None:
    """Return the notebook whose kernel this process is; ``None`` if it is none."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell() if get_shell is not None else None
    publisher: Publisher | None = getattr(shell, "display_pub", None) if hasattr(shell, "kernel") else None
    return publisher


def painter(publisher: Publisher) -> Painter:
    """Return a painter for a single download: each has its own display, below its own cell."""
    return Painter(partial(_canvas, publisher))


@contextmanager
def _canvas(publisher: Publisher) -> Iterator[Callable[[Sequence[Tally]], None]]:
    transient, shown = {"display_id": uuid.uuid4().hex}, list[Tally]()

    def draw(tallies: Sequence[Tally]) -> None:
        data = {"text/html": "".join(map(picture, tallies)), "text/plain": "\n".join(map(Tally.words, tallies))}
        publisher.publish(data, transient=transient, update=bool(shown))
        shown[:] = tallies

    try:
        yield draw
    finally:
        for tally in shown:
            tally.over = True
        if shown:
            draw(tuple(shown))  # as it ended


def picture(tally: Tally) -> str:
    """Draw a tally in HTML, in the colours of the notebook's theme."""
    rows = [_bar(tally.share, tally.words())]
    for transfer in () if tally.over else tally.largest(BARS, least=LARGE_BYTES):
        share = None if transfer.total is None else transfer.share
        rows.append(_bar(share, f"{printable(transfer.name)}, {amount_of(transfer)}"))
    return "".join(rows)


def _bar(share: float | None, words: str) -> str:
    value = "" if share is None else f' value="{share:.3f}"'
    return f"<div><progress{value}></progress> {html.escape(words)}</div>"
