"""Asks a store for bytes of one file: the headers of each hop, redirects by our own rules, refusals."""

from __future__ import annotations

import time
from contextlib import suppress
from urllib.parse import urljoin

import attrs
import httpx

from wbfiles_async._protocol.judging import Rejection, Verdict, judge_refusal
from wbfiles_async._protocol.ranges import range_header
from wbfiles_async._protocol.urls import host_of, is_fetchable, origin, without_secrets
from wbfiles_async._transfer.exchange import Answer
from wbfiles_async._transfer.failures import Failure, network_failure, rejection_failure
from wbfiles_async._transfer.network import private_peers
from wbfiles_async._transfer.session import Session
from wbfiles_async._transfer.source import Source, takes_credentials
from wbfiles_async.errors import AuthenticationError, TransferError

REDIRECTS = 5
"""Hops that are followed: the API needs one, a load balancer adds one or two."""

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

REFUSAL_BYTES = 16 << 10
"""Bytes read of an answer that is an error: enough for its code."""


async def request(session: Session, source: Source, start: int, stop: int | None) -> tuple[Answer, str]:
    """Ask for ``[start, stop)``, following redirects by our own rules.

    Returns:
        A 2xx answer whose body is unread, and the URL that gave it.
    """
    whole = start == 0 and (stop is None or stop == source.size)
    begun = source.take_begun()
    url = source.url(session.unreachable) if begun is None else begun.url
    for _ in range(REDIRECTS + 1):
        # Each hop builds its headers afresh from what it may see.
        headers = plain_headers(session, encoded=source.encoded)
        if not whole:
            headers["Range"] = range_header(start, stop)
            if source.etag:
                headers["If-Match"] = source.etag
        authenticator = session.authenticator if takes_credentials(url, session.api_origin) else None
        if authenticator is not None:
            headers |= await authenticator.headers()
        try:
            with private_peers(allowed=origin(url) == session.api_origin or await session.private_stores.known()):
                answer = await (session.get(url, headers, session.times) if begun is None else begun.answer())
            begun = None
        except httpx.TransportError as error:
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                session.origins.of(url).reachable = False
            raise network_failure(error, name=source.name, host=host_of(url), offset=start) from error
        if 200 <= answer.status < 300:
            session.origins.of(url).reachable = True
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
        raise rejected(rejection, source, url, start, session.refused() if authenticator is not None else None)
    raise TransferError(
        f"{source.name}: {host_of(url)} redirects more than {REDIRECTS} times. Check base_url and any proxy.",
        name=source.name,
        host=host_of(url),
    )


def plain_headers(session: Session, *, encoded: bool = False) -> dict[str, str]:
    """Return the headers of a request for a whole file, to whom nobody's credentials are shown."""
    return {
        "User-Agent": session.settings.user_agent,
        "Accept": "*/*",
        "Accept-Encoding": "gzip" if encoded else "identity",
    }


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


def rejected(
    rejection: Rejection, source: Source, url: str, start: int, refused: AuthenticationError | None = None
) -> Failure:
    return rejection_failure(
        rejection, name=source.name, run=source.run, host=host_of(url), offset=start, refused=refused
    )
