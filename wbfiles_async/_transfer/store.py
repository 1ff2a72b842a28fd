"""Reads bytes of one file from its store: redirects, refusals, stalls, and going on where a body broke off."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from urllib.parse import urljoin

import anyio
import attrs
import httpx

from wbfiles_async._protocol.judging import Rejection, Verdict, judge_body, judge_refusal, strong_etag
from wbfiles_async._protocol.ranges import range_header
from wbfiles_async._protocol.urls import host_of, is_fetchable, origin, without_secrets
from wbfiles_async._transfer.exchange import Answer
from wbfiles_async._transfer.failures import Failure, network_failure, rejection_failure
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.source import Source, takes_credentials
from wbfiles_async.errors import AuthenticationError, IntegrityError, ObjectChangedError, TransferError

REDIRECTS = 5
"""Hops that are followed: the API needs one, a load balancer adds one or two."""

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

REFUSAL_BYTES = 16 << 10
"""Bytes read of an answer that is an error: enough for its code."""


async def read(session: Session, source: Source, start: int, stop: int | None) -> AsyncGenerator[bytes | memoryview]:
    """Yield bytes ``[start, stop)`` of the file, in order, each once, going on after what can be survived.

    A piece can be used until the next one is asked for.
    One place of the limiter is held while bytes flow, and none while waiting for another try.

    Args:
        session: The means of the running event loop.
        source: The file; shared with other readers of it.
        start: First byte.
        stop: End, exclusive; ``None`` for the end of the file where its length is unknown.

    Raises:
        Failure: With the verdict ``RESTART`` or ``UNRANGED``: what came so far cannot be completed this way.
        WBFilesError: All else that ends the reading.
    """
    offset, begun = start, source.object
    while True:
        if source.object != begun:
            raise Failure(
                Verdict.RESTART,
                ObjectChangedError(f"{source.name}: the file was replaced while it was being read.", name=source.name),
            )
        generation, round = source.generation, source.budget.round
        try:
            async with session.limiter, aclosing(_read_once(session, source, offset, stop)) as pieces:
                async for piece in pieces:
                    offset += len(piece)
                    source.moved(len(piece))
                    yield piece
            if stop is None or offset >= stop:
                return
        except Failure as failure:
            if stop is not None and start < stop <= offset:
                return  # every byte came; only the end of the message did not
            if failure.verdict is Verdict.RENEW:
                await source.renew(failure, generation=generation)
            elif failure.verdict is Verdict.RETRY and (stop is not None or offset == start):
                await source.budget.spend(failure, round=round)
            elif failure.verdict is Verdict.FINAL:
                raise failure.error from failure.__cause__
            else:
                raise


async def read_span(
    session: Session, source: Source, start: int, stop: int | None
) -> AsyncGenerator[bytes | memoryview]:
    """Yield bytes ``[start, stop)`` as ``read`` does, also from a store that serves whole files only."""
    begun = False
    try:
        async with aclosing(read(session, source, start, stop)) as pieces:
            async for piece in pieces:
                begun = True
                yield piece
        return
    except Failure as failure:
        if failure.verdict is not Verdict.UNRANGED or begun:
            raise
    offset = 0
    async with aclosing(read(session, source, 0, source.size)) as pieces:
        async for piece in pieces:
            wanted = piece[max(0, start - offset) : None if stop is None else max(0, stop - offset)]
            offset += len(piece)
            if wanted:
                yield wanted
            if stop is not None and offset >= stop:
                return


async def _read_once(
    session: Session, source: Source, start: int, stop: int | None
) -> AsyncGenerator[bytes | memoryview]:
    """Yield what one request gives of ``[start, stop)``; a body that ends early raises ``Failure``."""
    options = session.options
    answer, url = await _request(session, source, start, stop)
    offset = start
    try:
        body = judge_body(answer.status, answer.headers, start=start, stop=stop, size=source.size, etag=source.etag)
        if isinstance(body, Rejection):
            if body.verdict is Verdict.UNRANGED:
                session.unranged.add(origin(url))
            raise _rejected(body, source, url, start)
        source.etag = source.etag or strong_etag(answer.headers)
        waited, moved, since = 0.0, 0, time.monotonic()
        async for piece in answer.pieces():
            now = time.monotonic()
            offset += len(piece)
            if body.stop is not None and offset > body.stop:
                raise _too_long(source, host_of(url), body.stop)
            if session.rate_limit is not None:
                await anyio.sleep(session.rate_limit.draw(len(piece), now))
            yield piece
            # Only waiting for the network counts, not what the reader does with the bytes.
            waited, moved = waited + now - since, moved + len(piece)
            if waited >= options.stall_seconds:
                if moved < options.stall_bytes:
                    reason = f"sent only {moved} bytes in {waited:.0f} s, up to byte {offset}"
                    raise _broken_off(source, host_of(url), offset, reason)
                waited, moved = 0.0, 0
            since = time.monotonic()
        if body.stop is not None and offset < body.stop:
            raise _broken_off(source, host_of(url), offset, f"ended the body at byte {offset} of {body.stop}")
    except httpx.TransportError as error:
        raise network_failure(error, name=source.name, host=host_of(url), offset=offset) from error
    finally:
        await answer.aclose()


async def _request(session: Session, source: Source, start: int, stop: int | None) -> tuple[Answer, str]:
    """Ask for ``[start, stop)``, following redirects by our own rules.

    Returns:
        A 2xx answer whose body is unread, and the URL that gave it.
    """
    whole = start == 0 and (stop is None or stop == source.size)
    url = source.url(session.unreachable)
    for _ in range(REDIRECTS + 1):
        # Each hop builds its headers afresh from what it may see.
        headers = {"User-Agent": session.settings.user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        if not whole:
            headers["Range"] = range_header(start, stop)
            if source.etag:
                headers["If-Match"] = source.etag
        authenticator = session.authenticator if takes_credentials(url, session.api_origin) else None
        if authenticator is not None:
            headers |= await authenticator.headers()
        try:
            answer = await session.get(url, headers, session.times)
        except httpx.TransportError as error:
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                session.unreachable.add(origin(url))
            raise network_failure(error, name=source.name, host=host_of(url), offset=start) from error
        if 200 <= answer.status < 300:
            session.unreachable.discard(origin(url))
            return answer, url
        try:
            if answer.status in REDIRECT_STATUSES and "location" in answer.headers:
                url = _next_hop(source, url, answer.headers["location"])
                continue
            beginning = await _beginning(answer, session.options.stall_seconds)
        finally:
            await answer.aclose()
        rejection = judge_refusal(answer.status, answer.headers, beginning, now=time.time())
        if answer.status == 401 and authenticator is not None and await authenticator.refused():
            rejection = attrs.evolve(rejection, verdict=Verdict.RETRY)
        raise _rejected(rejection, source, url, start, session.refused() if authenticator is not None else None)
    raise TransferError(
        f"{source.name}: {host_of(url)} redirects more than {REDIRECTS} times. Check base_url and any proxy.",
        name=source.name,
        host=host_of(url),
    )


def _next_hop(source: Source, url: str, location: str) -> str:
    """Resolve a redirect's target (RFC 9110 §10.2.2); https never falls to http."""
    target = location
    if not is_fetchable(target):  # a relative one; urljoin drops some characters, which may be signed
        with suppress(ValueError):
            target = urljoin(url, location)
    if not is_fetchable(target):
        reason = "cannot be fetched by http"
    elif url.startswith("https:") and not target.startswith("https:"):
        reason = "is not protected as https is"
    else:
        return target
    raise TransferError(
        f"{source.name}: {host_of(url)} redirects to {without_secrets(target)!r}, which {reason}.",
        name=source.name,
        host=host_of(url),
    )


async def _beginning(answer: Answer, seconds: float) -> bytes:
    """Read the first bytes of an error's body; a body that breaks off or trickles tells less, not nothing."""
    body, began = b"", time.monotonic()
    with suppress(httpx.TransportError):
        async for piece in answer.pieces():
            body += piece
            if len(body) >= REFUSAL_BYTES or time.monotonic() - began > seconds:
                break
    return body[:REFUSAL_BYTES]


def _rejected(
    rejection: Rejection, source: Source, url: str, start: int, refused: AuthenticationError | None = None
) -> Failure:
    return rejection_failure(
        rejection, name=source.name, run=source.run, host=host_of(url), offset=start, refused=refused
    )


def _broken_off(source: Source, host: str, offset: int, reason: str) -> Failure:
    error = TransferError(f"{source.name}: {host} {reason}.", name=source.name, host=host, offset=offset)
    return Failure(Verdict.RETRY, error)


def _too_long(source: Source, host: str, size: int) -> IntegrityError:
    return IntegrityError(
        f"{source.name}: {host} sent more than the {size} bytes that were expected. List the files anew and try again.",
        name=source.name,
        host=host,
        offset=size,
        expected=str(size),
        actual=f"more than {size}",
    )
