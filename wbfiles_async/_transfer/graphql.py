"""Asks W&B's GraphQL API: credentials, retries, and the pace the server sets. Knows no query's meaning."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

import anyio
import httpx

from wbfiles_async._protocol.answers import MAX_ANSWER_BYTES, parse_answer
from wbfiles_async._protocol.backoff import is_transient, parse_retry_after
from wbfiles_async._protocol.gzipped import CorruptError, Gunzip
from wbfiles_async._protocol.judging import Verdict
from wbfiles_async._protocol.urls import host_of
from wbfiles_async._settings import TransferOptions
from wbfiles_async._transfer.failures import Budget, Failure, network_failure
from wbfiles_async._transfer.session import Session, closed_client
from wbfiles_async.errors import ApiError, AuthenticationError, RateLimitedError

LONG_ANSWER = 64 << 10
"""Bytes of an answer that is read in a thread: the loop would stand still for a quarter of a millisecond."""

LONGEST_PACE = 60.0
"""Seconds of a rate limit's reset that are believed."""


async def ask(
    session: Session, query: str, variables: Mapping[str, object], *, repeat: bool = True
) -> dict[str, object]:
    """Send one operation and return its ``data``.

    Args:
        session: The means of the running event loop.
        query: The operation's text.
        variables: Its variables.
        repeat: Whether the operation may be sent again when it is not known if the server carried it out.

    Raises:
        AuthenticationError: The credentials were not accepted.
        PermissionDeniedError: They were, and do not suffice.
        ApiError: The server says no, or what came is no answer.
        TransferError: No answer came.
        ConfigurationError: The client was closed meanwhile.
    """
    budget = Budget(session.options)
    renewed = False
    while True:
        round = budget.round
        await anyio.sleep(max(0.0, session.api_resumes_at - time.monotonic()))
        try:
            return await _ask_once(session, query, variables)
        except Failure as failure:
            if failure.verdict is Verdict.RENEW and not renewed and session.authenticator is not None:
                renewed = await session.authenticator.refused()
                if renewed:
                    continue
            if failure.verdict is not Verdict.RETRY or not (repeat or isinstance(failure.error, RateLimitedError)):
                raise failure.error from failure.__cause__
            await budget.spend(failure, round=round)


async def _ask_once(session: Session, query: str, variables: Mapping[str, object]) -> dict[str, object]:
    url = session.settings.base_url + "/graphql"
    headers = {"User-Agent": session.settings.user_agent, "Accept": "application/json", "Accept-Encoding": "gzip"}
    try:
        if session.authenticator is not None:
            headers |= await session.authenticator.headers()
        request = session.client.build_request(
            "POST",
            url,
            json={"query": query, "variables": variables},
            headers=headers,
            timeout=httpx.Timeout(session.settings.timeout, connect=session.options.connect_timeout),
        )
        if session.client.is_closed:  # while this waited
            raise closed_client()
        response = await session.client.send(request, stream=True, follow_redirects=False)
        try:
            body = await _body_of(response, session.options)
        finally:
            await response.aclose()
    except httpx.TransportError as error:
        raise network_failure(error, name="", host=host_of(url), offset=None) from error
    except CorruptError as error:
        broken = httpx.ReadError(str(error))
        raise network_failure(broken, name="", host=host_of(url), offset=None) from error
    except ApiError as error:  # of the identity token's exchange, or of an answer without end
        raise _transient_or_final(error) from error
    _keep_pace(session, response)
    retry_after = parse_retry_after(response.headers.get("retry-after"), time.time())
    parse = partial(parse_answer, response.status_code, body, host=host_of(url), retry_after=retry_after)
    try:
        return await session.disk.run(parse) if len(body) > LONG_ANSWER else parse()
    except AuthenticationError as error:
        raise Failure(Verdict.RENEW, session.refused() or error) from None
    except ApiError as error:
        raise _transient_or_final(error) from None


async def _body_of(response: httpx.Response, options: TransferOptions) -> bytes:
    """Read the body, decompressed in small steps: httpx would do it in one, however much a few bytes grow to."""
    body, gunzip = bytearray(), _gunzip_for(response)
    since, before, length = time.monotonic(), 0, 0
    # Not aiter_raw: it refuses a body that came with the answer, as mocks send it.
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101
    async for piece in response.stream:
        length += len(piece)
        for step in (piece,) if gunzip is None else gunzip.feed(piece):
            body += step
            if len(body) > MAX_ANSWER_BYTES:
                raise ApiError(
                    f"{response.url.host} answered with more than {MAX_ANSWER_BYTES >> 20} MiB, which is no answer to "
                    "what was asked. Check base_url, or ask for fewer files a page (per_page).",
                    status=response.status_code,
                )
        if time.monotonic() - since >= options.stall_seconds:
            if length - before < options.stall_bytes:
                raise httpx.ReadTimeout(f"only {length - before} bytes in {options.stall_seconds:g} s")
            since, before = time.monotonic(), length
    return bytes(body)


def _gunzip_for(response: httpx.Response) -> Gunzip | None:
    return Gunzip() if response.headers.get("content-encoding", "").lower() in ("gzip", "x-gzip") else None


def _keep_pace(session: Session, response: httpx.Response) -> None:
    """Have all tasks of this client wait where the server says that its limit is used up."""
    if response.headers.get("ratelimit-remaining") == "0" or response.status_code == 429:
        reset = parse_retry_after(response.headers.get("ratelimit-reset"), time.time())
        if reset is not None:
            session.api_resumes_at = time.monotonic() + min(reset, LONGEST_PACE)


def _transient_or_final(error: ApiError) -> Failure:
    transient = isinstance(error, RateLimitedError) or is_transient(error.status)
    retry_after = error.retry_after if isinstance(error, RateLimitedError) else None
    return Failure(Verdict.RETRY if transient else Verdict.FINAL, error, retry_after)
