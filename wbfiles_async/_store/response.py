"""Validates responses to a GET: usable bytes, or why not and what to do. Performs no I/O.

A response is validated by its ``Content-Range`` and status, and by the identity of its object; only bytes that
provably belong at an offset are ever written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from wbfiles_async._backoff import is_transient, parse_retry_after
from wbfiles_async._retry.failure import RequestFailed, RetryAction
from wbfiles_async._store.ranges import parse_content_range
from wbfiles_async._store.store_errors import is_expired, is_throttle, parse_store_error
from wbfiles_async.errors import (
    AuthenticationError,
    ObjectChangedError,
    PermissionDeniedError,
    RemoteFileNotFoundError,
    TransferError,
    WBFilesError,
)

__all__ = ["Body", "Rejection", "classify_error", "rejection_failure", "strong_etag", "validate_response"]

_GZIP: Final = frozenset({"gzip", "x-gzip"})
# RFC 9110 section 8.8.3, without non-ASCII bytes, which not every client can send back.
_STRONG_ETAG: Final = re.compile(r'"[\x21\x23-\x7e]*"')
_LONGEST_ETAG: Final = 1024
_LENGTH: Final = re.compile(r"[0-9]{1,19}")


@attrs.frozen
class Body:
    """Bytes ``[start, stop)`` of the object follow; ``stop`` is ``None`` if no length is known."""

    start: int
    stop: int | None


@attrs.frozen
class Rejection:
    """Why a response is not used.

    Attributes:
        action: The reaction.
        reason: The reason, for messages; contains no secret.
        retry_after: Seconds to wait, as requested by the server.
        status: The HTTP status.
        throttled: Whether the server asks for fewer requests.
        everywhere: Whether other files of this origin would fail in the same way.
    """

    action: RetryAction
    reason: str
    status: int
    retry_after: float | None = None
    throttled: bool = False
    everywhere: bool = False


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """Return the response's validator, if it identifies the exact bytes (RFC 9110 section 8.8.1).

    It is sent back unchanged, so a non-ASCII one is not used. Never an md5.
    """
    etag = headers.get("etag", "")
    return etag if len(etag) <= _LONGEST_ETAG and _STRONG_ETAG.fullmatch(etag) else None


def validate_response(
    status: int,
    headers: Mapping[str, str],
    *,
    start: int,
    stop: int | None,
    size: int | None,
    etag: str | None,
    encoded: bool = False,
) -> Body | Rejection:
    """Validate a 2xx response to a request for bytes ``[start, stop)``.

    An unexpectedly compressed response is used unchanged only if it has the file's length: then it is stored like
    that (S3, Azure). GCS would decompress it in transit, without a length and with another md5; there, and if a
    proxy compresses, the compressed bytes are requested (``encoded``).

    Args:
        status: The HTTP status.
        headers: The response's header fields, names without regard to case.
        start: First byte requested.
        stop: End of the requested bytes, exclusive; ``None`` for the end of the file.
        size: The object's length in bytes as the API states it; ``None`` if unknown.
        etag: The strong validator of an earlier response for the same object.
        encoded: Whether the compressed form of the whole was requested, of unknown length.
    """
    encoding = headers.get("content-encoding", "").strip().lower() or "identity"

    def reject(action: RetryAction, reason: str) -> Rejection:
        everywhere = action is RetryAction.FETCH_WHOLE and encoding == "identity"
        return Rejection(action, reason, status, everywhere=everywhere)

    whole = start == 0 and (stop is None or stop == size)
    length = _content_length(headers)
    if etag and (strong_etag(headers) or etag) != etag:
        return reject(RetryAction.RESTART, "the stored object was replaced meanwhile (its ETag changed)")
    if encoded:
        if status == 200 and encoding in _GZIP and "content-range" not in headers:
            return Body(0, length)
        return reject(RetryAction.RESTART, "the file was sent compressed at first, and then not any more")
    if headers.get("x-goog-stored-content-encoding", "").lower() in _GZIP:
        return reject(RetryAction.DECODE, "the store decompresses the file while it sends it")
    if encoding != "identity":
        if not whole:
            return reject(RetryAction.FETCH_WHOLE, "the range was sent in an encoding of its own")
        if length is None or length != size:
            action = RetryAction.DECODE if encoding in _GZIP else RetryAction.FAIL
            return reject(action, f"it was sent in an encoding that was not requested ({encoding[:20]!r})")
    if status == 206 or (status == 200 and "content-range" in headers):
        part = parse_content_range(headers.get("content-range"))
        if part is None:
            return reject(RetryAction.FETCH_WHOLE, "a partial answer without a usable Content-Range")
        if size is not None and part.total is not None and part.total != size:
            return reject(RetryAction.RESTART, f"the stored object has {part.total} bytes, where {size} were expected")
        if part.start != start or (stop is not None and part.stop > stop):
            return reject(RetryAction.FETCH_WHOLE, f"bytes {part.start} to {part.stop} arrived for {start} to {stop}")
        if stop is None and part.total is not None and part.stop != part.total:
            return reject(
                RetryAction.FETCH_WHOLE, f"bytes up to {part.stop} of {part.total} arrived, where all were requested"
            )
        if length is not None and length != part.stop - part.start:
            return reject(RetryAction.FETCH_WHOLE, "Content-Length and Content-Range contradict each other")
        return Body(part.start, part.stop)
    if status != 200:
        return reject(RetryAction.FAIL, f"status {status} is not a response to a GET")
    if not whole:
        return reject(RetryAction.FETCH_WHOLE, "the whole file arrived instead of a part")
    if size is not None and length is not None and length != size:
        return reject(RetryAction.RESTART, f"{length} bytes were announced, where {size} were expected")
    return Body(0, size if size is not None else length)


def classify_error(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Rejection:
    """Classify a response that is not 2xx.

    Args:
        status: The HTTP status.
        headers: The response's header fields, names without regard to case.
        body: The beginning of the response's body.
        now: Seconds since the epoch, for a ``Retry-After`` that is a date.
    """
    error = parse_store_error(body)
    reason = f"status {status}" + (f" {error.code}" if error.code else "")
    if error.message:
        reason += f" ({error.message})"
    retry_after = parse_retry_after(headers.get("retry-after"), now)
    if is_expired(status, error) or status in (403, 404, 410):
        action = RetryAction.REFRESH
    elif status in (412, 416):
        action = RetryAction.RESTART
    elif is_transient(status):
        action = RetryAction.RETRY
    else:
        action = RetryAction.FAIL
    throttled = action is RetryAction.RETRY and is_throttle(status, error)
    return Rejection(action, reason, status, retry_after, throttled)


def rejection_failure(
    rejection: Rejection, *, name: str, run: str, host: str, offset: int, refused: AuthenticationError | None
) -> RequestFailed:
    """Return the failure of a rejected response.

    Args:
        rejection: The rejection.
        name: The remote file.
        run: The run's path.
        host: The store's host.
        offset: The first byte that was requested.
        refused: The error for status 401, if our credentials were sent.
    """
    reason = f"{host}: {rejection.reason}"
    error: WBFilesError
    match rejection.status:
        case 401 if refused is not None:
            error = refused
        case 401 | 403:
            error = PermissionDeniedError(
                f"{name}: the store refused to send this file, {reason}. Check that these credentials may read the run."
            )
        case 404 | 410:
            error = RemoteFileNotFoundError(f"{name}: the store no longer has this file, {reason}.", name=name, run=run)
        case _ if rejection.action is RetryAction.RESTART:
            error = ObjectChangedError(
                f"{name}: {reason}. It keeps changing or its metadata is wrong; list the files again and retry.",
                name=name, host=host, offset=offset,
            )  # fmt: skip
        case _:
            error = TransferError(
                f"{name}: no usable response at byte {offset}, {reason}.", name=name, host=host, offset=offset
            )
    return RequestFailed(rejection.action, error, rejection.retry_after, throttled=rejection.throttled)


def _content_length(headers: Mapping[str, str]) -> int | None:
    """Return the stated length. Every transport refuses invalid or contradictory lengths."""
    value = headers.get("content-length", "").partition(",")[0].strip()
    return int(value) if _LENGTH.fullmatch(value) else None
