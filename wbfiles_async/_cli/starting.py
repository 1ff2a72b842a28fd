"""Starts the program, also with closed streams, and handles readers that disappear."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from wbfiles_async import WBFilesError
from wbfiles_async._cli.app import program
from wbfiles_async._cli.ending import ExitCode, StoppedError, complain, exit_code_of, explain, forget, is_closed_pipe


def start(arguments: Sequence[str] | None) -> int:
    """Run the program and return its exit code; usage errors are messages, never tracebacks."""
    _occupy_closed_descriptors()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may contain characters that the encoding lacks
    code = _run(arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # was reported already, if it matters; it would change the exit code at the end
            forget(stream)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        return int(
            program.main(arguments, prog_name="wbfiles", standalone_mode=False, windows_expand_args=False)
            or ExitCode.DONE
        )
    except StoppedError as stopped:
        return stopped.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"\nTry '{context.command_path} --help'." if context is not None else ""
        complain(error.format_message() + hint)
        return error.exit_code
    except WBFilesError as error:
        complain(explain(error))
        return exit_code_of(error)
    except OSError as error:
        if is_closed_pipe(error):
            forget(sys.stdout)
            return ExitCode.PIPE_CLOSED
        complain(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
        return ExitCode.FAILED


def _occupy_closed_descriptors() -> None:
    """Keep sockets and files from getting the number of a standard stream that the caller closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
