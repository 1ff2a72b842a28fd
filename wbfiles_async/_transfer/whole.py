"""Reads a file until it is whole and right, beginning anew where that can help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TypeVar

from wbfiles_async._protocol.checksums import new_md5
from wbfiles_async._protocol.judging import Verdict
from wbfiles_async._transfer.failures import Failure
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.source import Source
from wbfiles_async._transfer.store import read
from wbfiles_async.errors import IntegrityError

T = TypeVar("T")

RESTARTS = 2
"""Times a file is begun anew because its object changed; more often, and it is not going to hold still."""

MISMATCHES = 2
"""Whole downloads with a wrong length or md5, after which the source itself must be wrong."""


async def until_whole(source: Source, attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat ``attempt`` until it succeeds or nothing is left to try.

    Before a file is begun anew its metadata is asked for again: either the object changed, or what was listed
    of it is out of date.

    Raises:
        WBFilesError: What ended the last attempt.
    """
    restarts = mismatches = 0
    while True:
        generation, round = source.generation, source.budget.round
        source.etag = None  # an attempt keeps no byte of the one before, so it may read another object
        try:
            return await attempt()
        except Failure as failure:
            if failure.verdict is Verdict.RETRY:
                await source.budget.spend(failure, round=round, lost=True)
                continue
            if failure.verdict is Verdict.UNRANGED and not source.unranged:
                source.unranged = True
                continue
            if failure.verdict is Verdict.ENCODED:
                source.encoded = True
                continue
            restarts += 1
            if restarts > RESTARTS:
                raise failure.error from failure.__cause__
            await source.renew(failure, generation=generation)
            source.begin_anew()
        except IntegrityError as error:
            mismatches += 1
            if mismatches == MISMATCHES:
                raise
            if source.relist is not None:
                await source.renew(Failure(Verdict.RESTART, error), generation=generation)
            source.begin_anew()


async def read_whole(session: Session, source: Source, *, on_bytes: Callable[[int], None] | None = None) -> list[bytes]:
    """Read all of the file into memory, unchecked.

    Args:
        session: The means of the running event loop.
        source: The file.
        on_bytes: Called with the length of each piece.

    Raises:
        Failure: The file must be begun anew.
        WBFilesError: What else ended it.
    """
    pieces: list[bytes] = []
    async with aclosing(read(session, source, 0, source.size)) as body:
        async for piece in body:
            pieces.append(bytes(piece))  # which copies what is lent only
            if on_bytes is not None:
                on_bytes(len(piece))
    return pieces


def check_pieces(source: Source, pieces: Iterable[bytes]) -> None:
    """Check the md5 of a whole file in memory. Takes a millisecond a megabyte; run it through ``Disk``.

    Raises:
        IntegrityError: It is not what the server states.
    """
    digest = new_md5()
    for piece in pieces:
        digest.update(piece)
    check_md5(source, digest.digest())


def check_md5(source: Source, actual: bytes) -> None:
    """Raise ``IntegrityError`` where the md5 is not the one the server states."""
    expected = source.md5
    if expected is not None and expected != actual:
        raise IntegrityError(
            f"{source.name}: the md5 of what came is {actual.hex()}, where the server states {expected.hex()}. "
            "Nothing was written. List the files anew and try again; if it stays so, the stored file is damaged.",
            name=source.name,
            expected=expected.hex(),
            actual=actual.hex(),
        )
