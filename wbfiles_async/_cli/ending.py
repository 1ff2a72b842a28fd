"""Ends a command: exit code, message, and clean-up on a signal."""

from __future__ import annotations

import asyncio
import enum
import errno
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from wbfiles_async._cli.output import folded
from wbfiles_async._sync.portal import has_uvloop
from wbfiles_async._text import printable
from wbfiles_async.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    RemoteFileNotFoundError,
    RunNotFoundError,
    WBFilesError,
)


class ExitCode(enum.IntEnum):
    """The exit codes. A signal's code is 128 plus its number: 130 for Ctrl-C, 143 for SIGTERM."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CREDENTIALS = 3
    NOT_FOUND = 4
    PIPE_CLOSED = 141


class StoppedError(Exception):
    """A signal stopped the work, after cleaning up.

    Attributes:
        exit_code: The exit code.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.exit_code = 128 + number


def exit_code_of(error: WBFilesError) -> ExitCode:
    """Return the exit code for an error; the only table of them."""
    match error:
        case AuthenticationError() | PermissionDeniedError():
            return ExitCode.CREDENTIALS
        case RunNotFoundError() | RemoteFileNotFoundError():
            return ExitCode.NOT_FOUND
        case ConfigurationError():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED


_OPTION = re.compile(r"TransferOptions(?:\((\w+)=(?:True|\.\.\.)\)|\.(\w+))")
_PHRASES = {
    "pass timeout=... to the client": "give --timeout",
    ", or pass http_client=httpx.AsyncClient(verify=False) to the client": "",
    "per_page": "--per-page",
    "--attempts": "--retries",
}


def in_options(text: str) -> str:
    """Return a message of the library with options of the command line in place of Python arguments."""
    text = _OPTION.sub(lambda match: "--" + (match[1] or match[2]).replace("_", "-"), text)
    for phrase, option in _PHRASES.items():
        text = text.replace(phrase, option)
    return text


def explain(error: WBFilesError) -> str:
    """Return an error's message with its notes."""
    return in_options(" ".join([error.message, *getattr(error, "__notes__", ())]))


def complain(message: str) -> None:
    """Write a message to stderr, with control characters escaped."""
    if sys.stderr is None:  # closed; print would use stdout then
        return
    with suppress(OSError):  # the terminal may be closed
        lines = "\n".join(map(printable, message.split("\n")))
        print(folded(f"wbfiles: {lines}", sys.stderr), file=sys.stderr, flush=True)


def run(work: Callable[[], Coroutine[object, object, int]], log_level: int = logging.WARNING) -> int:
    """Run a command's async work and return its exit code.

    The first Ctrl-C, SIGTERM, SIGHUP or Ctrl-Break cancels the work and waits for its clean-up; further ones change
    nothing.

    Args:
        work: Makes the coroutine.
        log_level: Minimum level of the library's log messages to show. Defaults to warnings.

    Raises:
        StoppedError: A signal ended it.
        WBFilesError: What the work raised.
    """
    import anyio  # not needed for --help

    try:
        with _log_on_stderr(log_level), _restored_signals():
            return anyio.run(_stoppable, work, backend_options=_loop_options())
    except OSError as error:
        if not is_closed_pipe(error):
            raise
        forget(sys.stdout)
        return ExitCode.PIPE_CLOSED


def _loop_options() -> dict[str, object]:
    """Choose the event loop, as ``portal`` does."""
    if sys.platform == "win32":
        return {"loop_factory": asyncio.SelectorEventLoop}
    return {"use_uvloop": has_uvloop()}


def is_closed_pipe(error: OSError) -> bool:
    """Return whether a pipe's reader has closed it, which Windows reports with an ambiguous number."""
    return isinstance(error, BrokenPipeError) or (
        sys.platform == "win32" and error.errno == errno.EINVAL and error.filename is None
    )


def forget(stream: TextIO | None) -> None:
    """Discard the buffer of a standard stream, so that it does not fail again at exit."""
    if stream is None:
        return
    with suppress(OSError, ValueError):  # not a real file in a test
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


async def _stoppable(work: Callable[[], Coroutine[object, object, int]]) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work())
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not received:  # a second cancellation would interrupt the clean-up
            task.cancel()
        received.append(number)

    for number in _stopping_signals():
        # Ignored signals stay ignored: nohup, and background jobs of a script.
        if signal.getsignal(number) is not signal.SIG_IGN:
            try:
                loop.add_signal_handler(number, stop, number)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda number, _: loop.call_soon_threadsafe(stop, signal.Signals(number)))
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise StoppedError(received[0]) from None
        raise


def _stopping_signals() -> list[signal.Signals]:
    """Return the signals that this system has. SIGBREAK is Windows' Ctrl-Break, also sent when a console is closed."""
    found = (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"))
    return [number for number in found if number is not None]


@contextmanager
def _restored_signals() -> Iterator[None]:
    """Restore the signal handlers."""
    before = {number: signal.getsignal(number) for number in _stopping_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        where = ""
        if record.levelno < logging.WARNING:
            where = f"[{record.relativeCreated / 1000:.3f} s, {record.name.partition('.')[2]}] "
        complain(where + in_options(record.getMessage()))


@contextmanager
def _log_on_stderr(level: int) -> Iterator[None]:
    logger, handler = logging.getLogger("wbfiles_async"), _OnStderr(level)
    before = logger.level
    logger.addHandler(handler)
    if level < logger.getEffectiveLevel():
        logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
