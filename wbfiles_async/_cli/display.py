"""The moving picture of a download on a terminal: one bar for all, one for each of the largest files under way."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table

from wbfiles_async._cli.chosen import Chosen
from wbfiles_async._cli.tally import Tally
from wbfiles_async._cli.text import clock, counted, printable, share_of, size_of
from wbfiles_async._run import AsyncRun
from wbfiles_async._transfer.tasks import side_by_side
from wbfiles_async.errors import WBFilesError

LARGE_BYTES = 1 << 20
"""Files from this size on get a bar; smaller ones come and go too quickly to be read."""

BARS = 4
"""Files with a bar of their own."""

PICTURES_A_SECOND = 10


@asynccontextmanager
async def displayed(run: AsyncRun | None, chosen: Chosen) -> AsyncIterator[Tally]:
    """Show a tally on stderr while the block runs; it vanishes afterwards.

    What there is to do is counted beside the download, by a listing of its own; not without a run, since listing
    a whole project twice costs more than the number is worth.
    """
    tally = Tally()
    picture = _Picture(tally)
    live = Live(
        get_renderable=picture.draw,
        console=Console(stderr=True, markup=False, highlight=False, emoji=False),
        refresh_per_second=PICTURES_A_SECOND,
        transient=True,
        redirect_stdout=False,  # it is no terminal, or nothing is written to it
    )
    with live:
        async with side_by_side() as group:
            if run is not None:
                group.start_soon(_count, tally, run, chosen)
            yield tally
            group.cancel_scope.cancel()


async def _count(tally: Tally, run: AsyncRun, chosen: Chosen) -> None:
    with suppress(WBFilesError):  # the download tells of it, if it fails too
        async with aclosing(chosen.of(run).pages()) as pages:
            async for page in pages:
                wanted = [file for file in page if chosen.selection.accepts(file.name)]
                tally.expect(len(wanted), sum(file.size for file in wanted))
        tally.listed = True


@attrs.frozen
class _Picture:
    """Draws a tally; rich calls it in a thread of its own, so that a terminal that stalls stalls nothing else."""

    _tally: Tally

    def draw(self) -> RenderableType:
        tally = self._tally
        tally.remember(time.monotonic())
        share = tally.share
        overall = Table.grid(expand=True)
        overall.add_row(ProgressBar(total=None) if share is None else ProgressBar(total=1, completed=share))
        overall.add_row(self._words())
        bars = Table.grid(
            Column(ratio=3, no_wrap=True, overflow="ellipsis"),
            Column(ratio=2, no_wrap=True),
            Column(min_width=len("1000.0 KiB of 1000.0 MiB"), justify="right", no_wrap=True),
            padding=(0, 1),
            expand=True,
        )
        for transfer in tally.largest(BARS, least=LARGE_BYTES):
            total, arrived = transfer.total, transfer.arrived
            amount = size_of(arrived) if total is None else share_of(arrived, total)
            bars.add_row(printable(transfer.name), ProgressBar(total=total, completed=arrived), amount, style="dim")
        return Group(overall, bars)

    def _words(self) -> str:
        tally = self._tally
        if not tally.files_expected:
            return "Listing the files"
        more = "" if tally.listed else " or more"
        words = [
            f"{tally.files_ended:,} of {counted(tally.files_expected, 'file')}{more}",
            share_of(tally.bytes_done, tally.bytes_expected),
            f"{size_of(tally.bytes_a_second)}/s",
        ]
        if (seconds := tally.seconds_left) is not None:
            words.append(f"{clock(seconds)} left")
        if tally.files_failed:
            words.append(f"{tally.files_failed:,} failed")
        return ", ".join(words)
