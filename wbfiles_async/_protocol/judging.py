"""Judges what a store answers to a GET: usable bytes, or what to do instead. Performs no I/O.

An answer is judged by its ``Content-Range`` as well as by its status, and by the identity of the object it
comes from; only what provably belongs at an offset is ever handed on.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from wbfiles_async._protocol.backoff import is_transient, parse_retry_after
from wbfiles_async._protocol.ranges import parse_content_range
from wbfiles_async._protocol.store_answers import is_expired, is_throttle, parse_store_error


class Verdict(enum.Enum):
    """What a failed request asks for next."""

    RETRY = "the same again, after a while"
    RENEW = "ask the API for the file anew: its URL expired, or the object is gone"
    RESTART = "this is not the object that was begun: begin anew"
    UNRANGED = "ranges are not served properly here: fetch the whole in one piece"
    ENCODED = "what is stored is compressed: fetch the stored bytes and decompress them here"
    FINAL = "no other try can help"


@attrs.frozen
class Body:
    """Bytes ``[start, stop)`` of the object will follow; ``stop`` is ``None`` where no length is known."""

    start: int
    stop: int | None


@attrs.frozen
class Rejection:
    """Why an answer is not used.

    Attributes:
        verdict: What to do.
        reason: For people; holds no secret.
        retry_after: Seconds the server asked to wait.
        status: The HTTP status.
        throttled: Whether the server asks to be asked less.
        everywhere: Whether other files of this origin would meet with the same.
    """

    verdict: Verdict
    reason: str
    status: int
    retry_after: float | None = None
    throttled: bool = False
    everywhere: bool = False


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """Give the answer's validator where it identifies the exact bytes (RFC 9110 §8.8.1); never as an md5."""
    etag = headers.get("etag")
    return etag if etag and etag.startswith('"') else None


def judge_body(
    status: int,
    headers: Mapping[str, str],
    *,
    start: int,
    stop: int | None,
    size: int | None,
    etag: str | None,
    encoded: bool = False,
) -> Body | Rejection:
    """Judge a 2xx answer to a request for bytes ``[start, stop)``.

    What is compressed on its way though nobody asked for it is used as it came only where its length is that of
    the file: then it is stored so (S3, Azure). GCS would rather decompress it on the way, without a length and
    beside the md5; there, and where a proxy compresses, the compressed bytes are asked for (``encoded``).

    Args:
        status: The HTTP status.
        headers: The answer's headers, names without regard to case.
        start: First byte asked for.
        stop: End of what was asked for, exclusive; ``None`` for up to the end.
        size: The object's length in bytes as the API states it; ``None`` where unknown.
        etag: The strong validator of an earlier answer for the same object.
        encoded: Whether the compressed form of the whole was asked for; its length is nobody's but its own.
    """
    encoding = headers.get("content-encoding", "").strip().lower() or "identity"

    def reject(verdict: Verdict, reason: str) -> Rejection:
        everywhere = verdict is Verdict.UNRANGED and encoding == "identity"
        return Rejection(verdict, reason, status, everywhere=everywhere)

    whole = start == 0 and (stop is None or stop == size)
    length = _content_length(headers)
    if etag and (strong_etag(headers) or etag) != etag:
        return reject(Verdict.RESTART, "the stored object was replaced meanwhile (its ETag changed)")
    if encoded:
        if status == 200 and encoding in _GZIP and "content-range" not in headers:
            return Body(0, length)
        return reject(Verdict.RESTART, "the file was sent compressed at first, and then not any more")
    if headers.get("x-goog-stored-content-encoding", "").lower() in _GZIP:
        return reject(Verdict.ENCODED, "the store decompresses the file on its way")
    if encoding != "identity":
        if not whole:
            return reject(Verdict.UNRANGED, "the range was sent in an encoding of its own")
        if length is None or length != size:
            verdict = Verdict.ENCODED if encoding in _GZIP else Verdict.FINAL
            return reject(verdict, f"it was sent in an encoding that was not asked for ({encoding[:20]!r})")
    if status == 206 or (status == 200 and "content-range" in headers):
        part = parse_content_range(headers.get("content-range"))
        if part is None:
            return reject(Verdict.UNRANGED, "a partial answer without a usable Content-Range")
        if size is not None and part.total is not None and part.total != size:
            return reject(Verdict.RESTART, f"the stored object has {part.total} bytes, where {size} were expected")
        if part.start != start or (stop is not None and part.stop > stop):
            return reject(Verdict.UNRANGED, f"bytes {part.start} to {part.stop} came for {start} to {stop}")
        if stop is None and part.total is not None and part.stop != part.total:
            return reject(Verdict.UNRANGED, f"bytes up to {part.stop} of {part.total} came, where all were asked for")
        if length is not None and length != part.stop - part.start:
            return reject(Verdict.UNRANGED, "Content-Length and Content-Range contradict each other")
        return Body(part.start, part.stop)
    if status != 200:
        return reject(Verdict.FINAL, f"status {status} is no answer to a GET")
    if not whole:
        return reject(Verdict.UNRANGED, "the whole file came for a part of it")
    if size is not None and length is not None and length != size:
        return reject(Verdict.RESTART, f"{length} bytes were announced, where {size} were expected")
    return Body(0, size if size is not None else length)


def judge_refusal(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Rejection:
    """Judge an answer that is not 2xx.

    Args:
        status: The HTTP status.
        headers: The answer's headers, names without regard to case.
        body: The beginning of the answer's body.
        now: Seconds since the epoch, for a ``Retry-After`` that is a date.
    """
    error = parse_store_error(body)
    reason = f"status {status}" + (f" {error.code}" if error.code else "")
    if error.message:
        reason += f" ({error.message})"
    retry_after = parse_retry_after(headers.get("retry-after"), now)
    if is_expired(status, error) or status in (403, 404, 410):
        verdict = Verdict.RENEW
    elif status in (412, 416):
        verdict = Verdict.RESTART
    elif is_transient(status):
        verdict = Verdict.RETRY
    else:
        verdict = Verdict.FINAL
    throttled = verdict is Verdict.RETRY and is_throttle(status, error)
    return Rejection(verdict, reason, status, retry_after, throttled)


_GZIP = frozenset({"gzip", "x-gzip"})


def _content_length(headers: Mapping[str, str]) -> int | None:
    value = headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None
