"""Opens files for reading or for writing as a whole, with blocking or async methods."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from wbfiles_async._async.binary import AsyncBinaryFile
from wbfiles_async._fsspec.errors import unsupported_mode
from wbfiles_async._fsspec.files import Opener, WandbFile, WandbStream
from wbfiles_async._fsspec.places import place_of
from wbfiles_async._fsspec.putting import send
from wbfiles_async._fsspec.reading import open_access, stream
from wbfiles_async._fsspec.remote import Remote
from wbfiles_async._fsspec.waiting import wait_for
from wbfiles_async._fsspec.writing import AsyncWriter, Writer
from wbfiles_async._models import Existing
from wbfiles_async._options import BLOCK_SIZE

__all__ = ["WRITING", "open_awaited_reader", "open_awaited_writer", "open_reader", "open_writer"]

WRITING = ("wb", "xb")
"""Modes for writing a whole file."""


def open_reader(
    fs: Opener,
    remote: Remote,
    path: str,
    mode: str,
    block_size: int | None,
    cache_type: str,
    cache_options: Mapping[str, Any] | None,
) -> WandbFile | io.BufferedReader:
    """Open a file for reading; as a stream if ``block_size`` is 0."""
    if mode != "rb":
        raise unsupported_mode(mode)
    if block_size == 0:
        attributes = wait_for(fs.loop, remote.required, path)
        return io.BufferedReader(WandbStream(fs, path, stream(remote, place_of(path).run, attributes)))
    access, info = wait_for(fs.loop, open_access, remote, path)
    return WandbFile(fs, path, info, access, block_size, cache_type, cache_options)


def open_writer(fs: Opener, remote: Remote, path: str, mode: str, existing: Existing, *, autocommit: bool) -> Writer:
    """Open a file for writing."""
    if existing == "error":
        wait_for(fs.loop, _check_missing, remote, path)

    def upload(content: memoryview | Path) -> None:
        wait_for(fs.loop, send, remote, path, content, existing=existing)

    return Writer(path, upload, mode=mode, autocommit=autocommit)


async def open_awaited_reader(remote: Remote, path: str, mode: str, block_size: int | None) -> AsyncBinaryFile:
    """Open a file with async methods for reading."""
    if mode != "rb":
        raise unsupported_mode(mode)
    access, _ = await open_access(remote, path)
    return AsyncBinaryFile(access, block_size or BLOCK_SIZE)


async def open_awaited_writer(remote: Remote, path: str, existing: Existing) -> AsyncWriter:
    """Open a file with async methods for writing."""
    if existing == "error":
        await _check_missing(remote, path)
    return AsyncWriter(path, partial(send, remote, path, existing=existing))


async def _check_missing(remote: Remote, path: str) -> None:
    """Raise an error if the path exists, before anything is written."""
    try:
        await remote.info(path, refresh=True)
    except FileNotFoundError:
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
