"""What went wrong with one request, what it asks for, and how long one file may go on failing."""

from __future__ import annotations

import logging
import random
import time

import anyio
import httpx

from wbfiles_async._protocol.backoff import delay
from wbfiles_async._protocol.judging import Rejection, Verdict
from wbfiles_async._settings import TransferOptions
from wbfiles_async._transfer.transport import AddressError, CertificateError
from wbfiles_async.errors import (
    AuthenticationError,
    ObjectChangedError,
    PermissionDeniedError,
    RemoteFileNotFoundError,
    TransferError,
    WBFilesError,
)


class Failure(Exception):  # noqa: N818  # no caller sees it
    """One request failed. Never leaves the package: either a next try succeeds or ``error`` is raised.

    Attributes:
        verdict: What to do next.
        error: What the caller is told if nothing helps.
        retry_after: Seconds the other side asked to wait.
        throttled: Whether the other side asks to be asked less, by everybody.
    """

    def __init__(
        self, verdict: Verdict, error: WBFilesError, retry_after: float | None = None, *, throttled: bool = False
    ) -> None:
        super().__init__(str(error))
        self.verdict = verdict
        self.error = error
        self.retry_after = retry_after
        self.throttled = throttled


def network_failure(error: httpx.TransportError, *, name: str, host: str, offset: int | None) -> Failure:
    """Say what a failed connection means; the one table from httpx's errors to ours."""
    where = f"{name}: " if name else ""
    at = f" at byte {offset}" if offset else ""
    text = str(error) or type(error).__name__
    verdict = Verdict.RETRY
    match error:
        case CertificateError():
            verdict = Verdict.FINAL
            text = (
                f"the certificate of {host} is not trusted ({text}). If it is your own authority's, set SSL_CERT_FILE"
            )
        case AddressError() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            verdict = Verdict.FINAL
            text = f"{host} cannot be asked: {text}"
        case httpx.ConnectTimeout() | httpx.ConnectError():
            text = f"{host} cannot be reached ({text}). Check the network, the host and proxy settings"
        case httpx.ProxyError():
            text = f"the proxy to {host} failed ({text}). Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
        case httpx.ReadTimeout():
            text = f"{host} went silent{at} ({text})"
        case _:
            text = f"the connection to {host} broke{at} ({text})"
    return Failure(verdict, TransferError(f"{where}{text}.", name=name, host=host, offset=offset))


def rejection_failure(
    rejection: Rejection, *, name: str, run: str, host: str, offset: int, refused: AuthenticationError | None
) -> Failure:
    """Say what a store's unusable answer means.

    Args:
        rejection: What was judged.
        name: The remote file.
        run: The run's path.
        host: Who answered.
        offset: The byte that was asked for first.
        refused: What a 401 means, where it is about credentials of ours.
    """
    told = f"{host}: {rejection.reason}"
    error: WBFilesError
    match rejection.status:
        case 401 if refused is not None:
            error = refused
        case 401 | 403:
            error = PermissionDeniedError(
                f"{name}: the store does not give this file, {told}. Check that these credentials may read the run."
            )
        case 404 | 410:
            error = RemoteFileNotFoundError(f"{name}: the store no longer has this file, {told}.", name=name, run=run)
        case _ if rejection.verdict is Verdict.RESTART:
            error = ObjectChangedError(
                f"{name}: {told}. It keeps changing or its metadata is wrong; list the files anew and try again.",
                name=name, host=host, offset=offset,
            )  # fmt: skip
        case _:
            error = TransferError(
                f"{name}: no usable answer at byte {offset}, {told}.", name=name, host=host, offset=offset
            )
    return Failure(rejection.verdict, error, rejection.retry_after, throttled=rejection.throttled)


log = logging.getLogger(__name__)

LOUD_FAILURES = 4
"""The failure in a row that is worth a warning: by then somebody has been waiting for a second."""

REFUND_BYTES = 1 << 20
"""A try that moved this many bytes was no failure: a long transfer over a bad link goes on while it moves."""


class Budget:
    """How often, and for how long, one file or one API call may fail in a row. One budget, not one a layer.

    Requests that run side by side often fail together, from one cause; that counts once. So a request
    remembers the ``round`` it began in, and its failure is free if another of that round was counted already.

    Args:
        options: Gives ``attempts`` and ``time_budget``.
    """

    def __init__(self, options: TransferOptions) -> None:
        self.round = 0
        self._attempts = options.attempts
        self._seconds = options.time_budget
        self._failures = 0
        self._lost = 0
        self._since = 0.0
        self._resume_at = 0.0
        self._moved = 0

    @property
    def failing_since(self) -> float:
        """When the first of the failures in a row was, in monotonic seconds."""
        return self._since

    def moved(self, count: int) -> None:
        """Note that bytes arrived."""
        if self._failures:
            self._moved += count
            if self._moved >= REFUND_BYTES:
                self._failures = self._moved = 0

    def stood_in_line(self, began: float) -> None:
        """Leave out the time since ``began`` (monotonic seconds), in which the file waited for others' sake.

        What it had to wait for its own failure's sake counts.
        """
        now = time.monotonic()
        if self._failures:
            self._since = min(now, self._since + max(0.0, now - max(began, self._resume_at)))

    async def spend(self, failure: Failure, *, round: int, lost: bool = False, pause: float | None = None) -> None:
        """Wait before the next try.

        Args:
            failure: What went wrong.
            round: The value of ``round`` when the failed request began.
            lost: Whether all that was moved must be moved again, so that it was no progress, however much it was.
            pause: Seconds in which the origin is asked by nobody, where it throttles; they are not waited for
                here, but by all together, before their next turn.

        Raises:
            WBFilesError: The failure's own error, when no try is left or the wait would be too long.
        """
        now = time.monotonic()
        if round == self.round:
            self.round += 1
            self._lost += lost
            self._failures = max(self._failures + 1, self._lost)
            self._moved = 0
            if self._failures == 1:
                self._since = now
            wait = delay(self._failures, retry_after=failure.retry_after, jitter=random.random())
            self._resume_at = now + (wait if pause is None else max(pause, failure.retry_after or 0.0))
            if self._failures >= self._attempts or self._resume_at > self._since + self._seconds:
                tries = "one try" if self._failures == 1 else f"{self._failures} tries"
                failure.error.add_note(f"Gave up after {tries} in {now - self._since:.1f} s.")
                raise failure.error from failure.__cause__
            level = logging.WARNING if self._failures == LOUD_FAILURES else logging.INFO
            log.log(level, "%s Trying again (%d of %d).", failure.error, self._failures + 1, self._attempts)
        if pause is None:
            await anyio.sleep(max(0.0, self._resume_at - now))
