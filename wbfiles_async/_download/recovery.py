"""Restarts of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from wbfiles_async._retry.failure import RequestFailed, RetryAction
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async.errors import IntegrityError

__all__ = ["FileRecovery"]

RESTARTS: Final = 2
"""Maximum restarts of a file because its object changed."""

MISMATCHES: Final = 2
"""Whole downloads with a wrong length or md5 after which the source counts as wrong."""


class FileRecovery:
    """Prepares the next attempt at a whole file, or raises.

    Before a file is restarted, its metadata is requested again: either the object changed, or the listing is
    outdated.

    Args:
        file: The file.
    """

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._restarts = self._mismatches = 0
        self._generation = self._round = 0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Start an attempt; it keeps no byte of the previous one, so it may read another object."""
        self._generation, self._round = self._file.generation, self._file.budget.round
        self._file.etag = None
        try:
            yield
        except IntegrityError as error:
            self._mismatches += 1
            if self._mismatches == MISMATCHES:
                raise
            raise RequestFailed(RetryAction.RESTART, error) from error

    def give_up(self) -> None:
        """Allow only one more wrong length or md5."""
        self._mismatches = MISMATCHES - 1

    async def recover(self, failure: RequestFailed) -> None:
        """Prepare the next attempt.

        Raises:
            WBFilesError: The failure of the last attempt, if nothing is left to try.
        """
        file = self._file
        match failure.action:
            case RetryAction.RETRY:
                await file.budget.spend(failure, round=self._round, lost=True)
            case RetryAction.FETCH_WHOLE if not file.unranged:
                file.unranged = True
            case RetryAction.DECODE:
                file.encoded = True
            case _:
                if not isinstance(failure.error, IntegrityError):
                    self._restarts += 1
                    if self._restarts <= RESTARTS:
                        await file.refresh(failure, generation=self._generation)
                    elif file.fall_back():
                        self._restarts = 0
                    else:
                        raise failure.error from failure.__cause__
                elif file.relist is not None:
                    await file.refresh(failure, generation=self._generation)
                file.forget_object()
