"""``wbfiles cat``: the bytes of one file on stdout, as they come."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
from concurrent.futures import Future
from contextlib import aclosing

import click

from wbfiles_async._cli.ending import ExitCode, complain
from wbfiles_async._file import AsyncFile
from wbfiles_async.errors import IntegrityError


async def write_file(file: AsyncFile, start: int, stop: int | None) -> int:
    """Write bytes ``[start, stop)`` of a file to stdout. One piece at a time is in memory.

    Returns:
        The exit code.

    Raises:
        click.ClickException: stdout is closed.
        BrokenPipeError: Nobody reads any more.
        WBFilesError: The file could not be read to its end.
    """
    if sys.stdout is None:  # and its descriptor may be another thing's by now
        raise click.ClickException("stdout is closed.")
    out = sys.stdout.fileno()
    try:
        async with aclosing(file.stream(start, stop)) as pieces:
            async for piece in pieces:
                await _written(out, piece)
    except IntegrityError as error:
        complain(
            f"{file.name}: what was written is not the file, do not use it: "
            f"{error.expected} was expected, {error.actual} came. Try again; if it stays so, the stored one is damaged."
        )
        return ExitCode.FAILED
    return ExitCode.DONE


async def _written(out: int, piece: bytes) -> None:
    """Write in a thread that nothing waits for when the command is stopped: a reader may pause for hours."""
    written: Future[None] = Future()
    written.set_running_or_notify_cancel()

    def write() -> None:
        try:
            rest = memoryview(piece)
            while rest:
                try:
                    rest = rest[os.write(out, rest) :]
                except BlockingIOError:  # it is somebody else's, who made it so
                    select.select((), (out,), ())
            written.set_result(None)
        except OSError as error:
            written.set_exception(error)

    threading.Thread(target=write, daemon=True).start()
    await asyncio.wrap_future(written)
