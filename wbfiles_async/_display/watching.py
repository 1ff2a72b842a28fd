"""Turns ``progress=True`` into a display: bars on a terminal or in a notebook, otherwise lines.

Imports the display lazily.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from wbfiles_async._download.selection import Selection
from wbfiles_async._models import FileAttributes
from wbfiles_async._reports import FileResult
from wbfiles_async.errors import ConfigurationError, WBFilesError

if TYPE_CHECKING:
    from wbfiles_async._display.painter import Painter
    from wbfiles_async._display.tally import Tally
    from wbfiles_async._download.progress import Progress

Listing = Callable[[], AsyncGenerator[Sequence[FileAttributes]]]
OnResult = Callable[[FileResult], None]


@asynccontextmanager
async def watching_one(progress: Progress | bool | None, name: str, size: int | None) -> AsyncIterator[Progress | None]:
    """Yield the progress object of one file's download: the caller's, or a display during the block.

    Raises:
        ConfigurationError: There is a terminal, and rich is not installed.
    """
    if not isinstance(progress, bool):
        yield progress
        return
    painter = find_painter() if progress else None
    if painter is None:
        yield None
        return
    from wbfiles_async._display.tally import Tally

    tally = Tally()
    tally.expect(1, size or 0)
    tally.listed = True
    async with painter.showing(tally):
        yield tally
        tally.ended(FileResult(name=name, status="downloaded" if tally.bytes_done else "kept", size=size or 0))


@asynccontextmanager
async def watching_many(
    progress: Progress | bool | None, on_result: OnResult | None, listing: Listing, selection: Selection
) -> AsyncIterator[tuple[Progress | None, OnResult | None]]:
    """Yield progress object and callback of a bulk download: the caller's, and a display during the block if requested.

    Args:
        progress: The caller's argument.
        on_result: The caller's callback for results.
        listing: Lists the files for the total; used only with a display.
        selection: The selection.

    Raises:
        ConfigurationError: There is a terminal, and rich is not installed.
    """
    if not isinstance(progress, bool):
        yield progress, on_result
        return
    painter = find_painter() if progress else None
    if painter is None:
        yield None, on_result
        return
    from wbfiles_async._display.tally import Tally
    from wbfiles_async._tasks import open_task_group

    tally = Tally()

    def note(result: FileResult) -> None:
        tally.ended(result)
        if on_result is not None:
            on_result(result)

    async with painter.showing(tally), open_task_group() as group:
        group.start_soon(_count, tally, listing, selection, painter.patience)
        yield tally, note
        group.cancel_scope.cancel()


@asynccontextmanager
async def watching_deletion(
    progress: Progress | bool | None, on_result: OnResult | None
) -> AsyncIterator[tuple[Callable[[int, int], None], OnResult]]:
    """Yield a callback for the total of files and bytes, and one for each file's result.

    Args:
        progress: The caller's argument.
        on_result: The caller's callback for results.

    Raises:
        ConfigurationError: There is a terminal, and rich is not installed.
    """
    from wbfiles_async._display.tally import Tally

    tally = Tally()
    reporter = tally if isinstance(progress, bool) or progress is None else progress

    def expect(files: int, size: int) -> None:
        tally.expect(files, size)
        tally.listed = True

    def note(result: FileResult) -> None:
        name = f"{result.run.rpartition('/')[2]}/{result.name}"
        reporter.started(name, result.size)
        if result.error is None:
            reporter.advanced(name, result.size)
            reporter.finished(name)
        else:
            reporter.failed(name, result.error)
        tally.ended(result)
        if on_result is not None:
            on_result(result)

    painter = find_painter() if progress is True else None
    if painter is None:
        yield expect, note
        return
    async with painter.showing(tally):
        yield expect, note


async def _count(tally: Tally, listing: Listing, selection: Selection, patience: float) -> None:
    import anyio

    await anyio.sleep(patience)
    # A second listing, since the download's own listing only keeps pace with the download.
    with suppress(WBFilesError):  # the download reports it if it also fails
        async with aclosing(listing()) as pages:
            async for page in pages:
                wanted = [file for file in page if selection.accepts(file.name)]
                tally.expect(len(wanted), sum(file.size_bytes or 0 for file in wanted))
        tally.listed = True


def find_painter() -> Painter | None:
    """Return the painter: for a notebook, a terminal, or lines; ``None`` if there is no stderr.

    Raises:
        ConfigurationError: There is a terminal, and rich is not installed.
    """
    from wbfiles_async._display import notebook

    publisher = notebook.find_publisher()
    if publisher is not None:
        return notebook.painter(publisher)
    if not _is_watched():
        return _plain()
    try:
        from wbfiles_async._display import terminal
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise ConfigurationError(
            "progress=True needs rich to draw on a terminal; in a clone of the repository: python -m pip install "
            "'.[cli]'. Or leave progress out, or give an object of your own."
        ) from error
    return terminal.painter()


def _plain() -> Painter | None:
    if sys.stderr is None:
        return None
    from wbfiles_async._display import plain

    return plain.painter()


def _is_watched() -> bool:
    """Return whether stderr is a terminal that can draw."""
    dumb = os.environ.get("TERM", "").strip().lower() in ("dumb", "unknown")
    try:
        return sys.stderr is not None and sys.stderr.isatty() and not dumb
    except ValueError:  # it is closed
        return False
