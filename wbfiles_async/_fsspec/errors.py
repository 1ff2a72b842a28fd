"""The errors that fsspec expects. Performs no I/O."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from wbfiles_async._reports import DownloadReport, UploadReport
from wbfiles_async.errors import RunNotFoundError

__all__ = ["is_a_folder", "missing_as", "not_found", "raise_failure", "unsupported_mode"]


@contextmanager
def missing_as(path: str) -> Iterator[None]:
    """Raise ``FileNotFoundError`` if a run, a project or an entity does not exist."""
    try:
        yield
    except RunNotFoundError as error:
        raise not_found(path) from error


def not_found(path: str) -> FileNotFoundError:
    """Return the error for a path that does not exist."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def is_a_folder(path: str) -> IsADirectoryError:
    """Return the error for a folder where a file is needed."""
    return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


def unsupported_mode(mode: str) -> NotImplementedError:
    """Return the error for a mode in which files of runs cannot be opened."""
    return NotImplementedError(
        f"files of runs are opened to be read (mode 'rb') or written whole ('wb', 'xb'), not with mode {mode!r}"
    )


def raise_failure(report: DownloadReport | UploadReport) -> None:
    """Raise the error that stopped a transfer, or else the first failure of a file."""
    if report.stopped is not None:
        raise report.stopped
    if report.failures and (error := report.failures[0].error) is not None:
        raise error
