"""Reads files and ranges of files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from wbfiles_async._download.random_access import RandomAccess
from wbfiles_async._fsspec.places import Info, file_info, place_at, place_of
from wbfiles_async._fsspec.remote import Remote
from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async._ranges import Range
from wbfiles_async._tasks import open_task_group

__all__ = ["cat_file", "cat_ranges", "open_access", "stream"]


async def open_access(remote: Remote, path: str) -> tuple[RandomAccess, Info]:
    """Open a file for random access. It is looked up again unless its run had ended when it was listed."""
    run = place_at(path).run
    attributes = await remote.required(path, refresh=not remote.listings.has_ended(run))
    access = remote.gateway.random_access(attributes, run)
    await access.open()
    return access, file_info(run, attributes)


async def cat_file(remote: Remote, path: str, start: int | None, end: int | None) -> bytes:
    """Read a file, or its bytes ``[start, end)``; negative offsets count from the end."""
    attributes = await remote.required(path)
    file = remote.file(place_of(path).run, attributes)
    if start is None and end is None:
        return await file.read_bytes()
    first, last = _limits(start, end, attributes.size_bytes)
    if last is not None and first >= last:
        return b""
    async with aclosing(file.stream(first, last)) as pieces:
        return b"".join([piece async for piece in pieces])


async def cat_ranges(
    remote: Remote,
    paths: Sequence[str],
    starts: int | Iterable[int | None] | None,
    ends: int | Iterable[int | None] | None,
    *,
    return_errors: bool,
) -> list[Any]:
    """Read ranges of files. Near ranges of a file share a request, and all ranges of a file are from one object.

    Args:
        remote: The server.
        paths: The files.
        starts: The first bytes.
        ends: The ends, exclusive.
        return_errors: Whether to return errors among the results instead of raising them.

    Raises:
        ValueError: The numbers of paths, starts and ends differ.
    """
    firsts, lasts = _each(starts, len(paths)), _each(ends, len(paths))
    if not len(firsts) == len(lasts) == len(paths):
        raise ValueError("paths, starts and ends are of different lengths")
    results: list[Any] = [None] * len(paths)
    of_file: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        of_file.setdefault(path, []).append(index)

    async def read(path: str, wanted: list[int]) -> None:
        try:
            access, _ = await open_access(remote, path)
            try:
                limits = [_limits(firsts[index], lasts[index], access.size) for index in wanted]
                ranges = [Range(first, max(first, access.size if last is None else last)) for first, last in limits]
                read = await access.read_many(ranges)
            finally:
                access.close()
            for index, data in zip(wanted, read, strict=True):
                results[index] = data
        except Exception as error:
            if not return_errors:
                raise
            for index in wanted:
                results[index] = error

    async with open_task_group() as group:
        for path, wanted in of_file.items():
            group.start_soon(read, path, wanted)
    return results


async def stream(remote: Remote, run: RunPath, attributes: FileAttributes) -> AsyncGenerator[bytes]:
    """Iterate over the bytes of a file, with the client of the event loop in which the iteration starts."""
    async with aclosing(remote.file(run, attributes).stream()) as pieces:
        async for piece in pieces:
            yield piece


def _limits(start: int | None, end: int | None, size: int | None) -> tuple[int, int | None]:
    """Return ``[start, end)`` as offsets from the beginning; negative ones count from the end."""

    def absolute(offset: int) -> int:
        if offset >= 0:
            return offset
        if size is None:
            raise ValueError("a file of unknown length cannot be read from its end")
        return max(0, size + offset)

    return absolute(start or 0), None if end is None else absolute(end)


def _each(given: int | Iterable[int | None] | None, count: int) -> list[int | None]:
    return [given] * count if given is None or isinstance(given, int) else list(given)
