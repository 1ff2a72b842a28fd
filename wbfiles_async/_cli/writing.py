"""``wbfiles cat``: the bytes of files on stdout, as they arrive."""

from __future__ import annotations

import asyncio
import codecs
import os
import select
import sys
import threading
from concurrent.futures import Future
from contextlib import aclosing

import click

from wbfiles_async import AsyncRun
from wbfiles_async._async.file import AsyncFile
from wbfiles_async._cli.ending import ExitCode, complain, explain
from wbfiles_async._cli.output import check_stdout, is_terminal
from wbfiles_async._text import printable
from wbfiles_async.errors import IntegrityError, RemoteFileNotFoundError

_INNER = bytes(range(0x80, 0xC0))
"""Continuation bytes of UTF-8; a range may begin with them."""

_LOOKED_AT = 8192
"""Bytes at the beginning of a file that are checked for binary content, as many as in git."""


async def write_files(run: AsyncRun, names: tuple[str, ...], start: int, stop: int | None) -> int:
    """Write bytes ``[start, stop)`` of each file to stdout, one file after the other.

    A missing file is reported, and the others are written.

    Returns:
        The exit code.

    Raises:
        click.ClickException: stdout is closed; or it is a terminal, and a file is binary.
        BrokenPipeError: The reader has closed the pipe.
        WBFilesError: A file could not be read to its end.
    """
    codes: set[int] = set()
    for name in names:
        try:
            codes.add(await write_file(await run.file(name), start, stop))
        except RemoteFileNotFoundError as error:
            complain(explain(error))
            codes.add(ExitCode.NOT_FOUND)
    return codes.pop() if len(codes) == 1 else ExitCode.FAILED


def is_binary(beginning: bytes) -> bool:
    """Return whether the beginning of a file is not text that a terminal can show."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return True
    return b"\0" in beginning


async def write_file(file: AsyncFile, start: int, stop: int | None) -> int:
    """Write bytes ``[start, stop)`` of a file to stdout. One piece at a time is in memory.

    Returns:
        The exit code.

    Raises:
        click.ClickException: stdout is closed; or it is a terminal, and the file is binary.
        BrokenPipeError: The reader has closed the pipe.
        WBFilesError: The file could not be read to its end.
    """
    check_stdout()
    out, unseen = sys.stdout.fileno(), is_terminal(sys.stdout)
    try:
        async with aclosing(file.stream(start, stop)) as pieces:
            async for piece in pieces:
                if unseen and is_binary(piece[:_LOOKED_AT] if start == 0 else piece[:_LOOKED_AT].lstrip(_INNER)):
                    raise click.ClickException(
                        f"{printable(file.name)} is binary, and stdout is a terminal: write it to a file by > FILE, or "
                        "use `wbfiles get`."
                    )
                unseen = False
                await _written(out, piece)
    except IntegrityError as error:
        complain(
            f"{file.name}: the output is not the file, so do not use it: {error.expected} was expected, "
            f"{error.actual} arrived. Try again; if it happens again, the stored file is damaged."
        )
        return ExitCode.FAILED
    return ExitCode.DONE


async def _written(out: int, piece: bytes) -> None:
    """Write in a thread that is not waited for when the command stops, since a reader may pause for hours."""
    written: Future[None] = Future()
    written.set_running_or_notify_cancel()

    def write() -> None:
        try:
            rest = memoryview(piece)
            while rest:
                try:
                    rest = rest[os.write(out, rest) :]
                except BlockingIOError:  # non-blocking mode was set by its owner
                    select.select((), (out,), ())
            written.set_result(None)
        except OSError as error:
            written.set_exception(error)

    threading.Thread(target=write, daemon=True).start()
    await asyncio.wrap_future(written)
