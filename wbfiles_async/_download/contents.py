"""A file's bytes without a local file: read into memory, or streamed as they arrive."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from wbfiles_async._download.recovery import FileRecovery
from wbfiles_async._md5 import new_md5
from wbfiles_async._retry.attempts import attempts
from wbfiles_async._retry.failure import RequestFailed
from wbfiles_async._store.reader import StoreReader
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async._store.sink import RangeSink
from wbfiles_async.errors import ConfigurationError, IntegrityError

__all__ = ["check_md5", "check_pieces", "memory_sink", "read_bytes", "stream"]


async def read_bytes(reader: StoreReader, file: RemoteFile) -> bytes:
    """Read a whole file into memory.

    Raises:
        WBFilesError: The file cannot be read, or is wrong.
    """
    recovery = FileRecovery(file)
    pieces: list[bytes | memoryview] = []

    def check() -> None:
        if reader.options.verify:
            check_pieces(file, pieces)
        pieces[:] = [b"".join(pieces)]

    async for attempt in attempts(recovery.recover):
        with attempt, recovery.attempt():
            pieces.clear()
            await reader.save(file, memory_sink(file.size, pieces, check), lambda _: None)
    return bytes(pieces[0])


def memory_sink(
    size: int | None,
    pieces: list[bytes | memoryview],
    on_complete: Callable[[], None],
    *,
    is_short: bool = False,
) -> RangeSink:
    """Return a sink that keeps a whole file in memory.

    Args:
        size: The file's length in bytes, if known.
        pieces: Filled with the file's bytes. A piece that is the whole file is valid until ``on_complete`` returns.
        on_complete: Called when all of them have arrived, in a worker thread.
        is_short: See `RangeSink`.
    """

    def keep(offset: int, piece: bytes | memoryview) -> None:
        pieces.append(piece if len(piece) == size else bytes(piece))

    return RangeSink(0, size, keep, on_complete, is_short=is_short)


async def stream(reader: StoreReader, file: RemoteFile, start: int, stop: int | None) -> AsyncGenerator[bytes]:
    """Yield the bytes ``[start, stop)`` as they arrive, also from a store that serves whole files only.

    Until the first byte has been yielded, the file is restarted as in ``read_bytes``. The md5 of a whole file is
    compared before the iteration ends.

    Raises:
        WBFilesError: The bytes cannot be read, or are wrong.
    """
    if start < 0 or (stop is not None and stop < start):
        raise ConfigurationError(f"stream reads bytes [start, stop) with 0 <= start <= stop, not [{start}, {stop}).")
    recovery, handed_out = FileRecovery(file), False
    async for attempt in attempts(recovery.recover):
        with attempt, recovery.attempt():
            try:
                async with aclosing(_span(reader, file, start, stop)) as pieces:
                    async for piece in pieces:
                        handed_out = True
                        yield piece
            except RequestFailed as failure:
                if handed_out:
                    raise failure.error from failure.__cause__
                raise
            except IntegrityError:
                if handed_out:  # a restart is possible only before the first yield
                    recovery.give_up()
                raise


async def _span(reader: StoreReader, file: RemoteFile, start: int, stop: int | None) -> AsyncGenerator[bytes]:
    size = file.size
    end = stop if size is None else size if stop is None else min(stop, size)
    if end is not None and start >= end and not start == size == 0:  # an empty file is requested, to know of it
        return
    fetch_whole = file.unranged or file.encoded
    first, last = (0, size) if fetch_whole else (start, end)
    digest = new_md5() if start == 0 and end == size and file.md5 is not None and reader.options.verify else None
    offset = first
    async with aclosing(reader.chunks(file, first, last)) as pieces:
        async for piece in pieces:
            wanted = piece[max(0, start - offset) : None if stop is None else max(0, stop - offset)]
            offset += len(piece)
            if wanted:
                if digest is not None:
                    await reader.disk.run(digest.update, wanted)
                yield bytes(wanted)
            if fetch_whole and stop is not None and offset >= stop:
                return
    if digest is not None:
        check_md5(file, digest.digest())


def check_pieces(file: RemoteFile, pieces: Iterable[bytes | memoryview]) -> None:
    """Compare the md5 of a whole file in memory, if known. Takes a millisecond per megabyte.

    Raises:
        IntegrityError: It differs from the server's.
    """
    if file.md5 is None:
        return
    digest = new_md5()
    for piece in pieces:
        digest.update(piece)
    check_md5(file, digest.digest())


def check_md5(file: RemoteFile, actual: bytes) -> None:
    """Raise ``IntegrityError`` if the md5 differs from the server's."""
    expected = file.md5
    if expected is not None and expected != actual:
        raise IntegrityError(
            f"{file.name}: the md5 of what arrived is {actual.hex()}, where the server states {expected.hex()}. "
            "Nothing was written. List the files again and retry; if it happens again, the stored file is damaged.",
            name=file.name,
            expected=expected.hex(),
            actual=actual.hex(),
        )
