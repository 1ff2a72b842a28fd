"""Sends operations to W&B's GraphQL API: credentials, retries, rate limits. Does not interpret queries."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Final

import anyio
import attrs
import httpx

from wbfiles_async._auth.authenticators import Authenticator
from wbfiles_async._backoff import parse_retry_after
from wbfiles_async._clock import Clock
from wbfiles_async._disk.executor import Disk
from wbfiles_async._graphql.responses import MAX_ANSWER_BYTES, parse_answer
from wbfiles_async._http.body import pieces_of
from wbfiles_async._http.client import HttpClient
from wbfiles_async._http.extensions import StallLimit
from wbfiles_async._http.gzip import CorruptError, Gunzip
from wbfiles_async._options import TransferOptions
from wbfiles_async._rate_limit import RateLimit
from wbfiles_async._retry.attempts import attempts
from wbfiles_async._retry.authorize import api_failure, authorization
from wbfiles_async._retry.budget import RetryBudget
from wbfiles_async._retry.failure import RequestFailed, RetryAction, network_failure
from wbfiles_async._settings import Settings
from wbfiles_async._urls import host_of
from wbfiles_async.errors import ApiError, AuthenticationError, RateLimitedError

__all__ = ["GraphQLClient", "TooLargeError"]

LONG_ANSWER: Final = 64 << 10
"""Minimum bytes of a response that is parsed in a thread: it would block the loop for a quarter of a millisecond."""

TIMED_OUT: Final = frozenset({502, 504, 524})
"""Statuses of a gateway whose server took too long, or, for 502, broke the connection."""

LONGEST_PACE: Final = 60.0
"""Maximum seconds until a rate limit's reset."""


class TooLargeError(Exception):
    """A response took too long; a smaller one may not.

    Attributes:
        failing_since: When the first of the failures was, in monotonic seconds.
    """

    def __init__(self, failing_since: float) -> None:
        super().__init__(failing_since)
        self.failing_since = failing_since


@attrs.define(eq=False, kw_only=True)
class GraphQLClient:
    """Sends operations.

    Attributes:
        http: Sends the requests.
        authenticator: Provides the credentials; ``None`` if an injected client brings its own.
        refused: The error for credentials that the API refuses, if they are ours.
        settings: The API's URL, and the timeout of a response.
        options: How long a call may keep failing.
        disk: The threads that parse large responses.
        clock: The time.
        rate_limit: Limits requests per second; ``None`` for no limit of ours.
        entity_lock: Held while the default entity is requested.
    """

    http: HttpClient
    authenticator: Authenticator | None
    refused: AuthenticationError | None
    settings: Settings
    options: TransferOptions
    disk: Disk
    clock: Clock
    rate_limit: RateLimit | None = None
    entity_lock: anyio.Lock = attrs.field(factory=anyio.Lock, init=False)
    _resumes_at: float = attrs.field(default=0.0, init=False)

    async def execute(
        self,
        query: str,
        variables: Mapping[str, object],
        *,
        repeat: bool = True,
        slow_retries: int | None = None,
        failing_since: float | None = None,
    ) -> dict[str, object]:
        """Send one operation and return its ``data``.

        Args:
            query: The operation's text.
            variables: Its variables.
            repeat: Whether it may be sent again if it is unknown whether the server executed it.
            slow_retries: Retries of a response that takes too long, if a smaller one could be requested; ``None``
                (default) for as many as after other failures.
            failing_since: When a larger request first failed, in monotonic seconds, which is when ``time_budget``
                starts. ``None`` (default) if none did.

        Raises:
            AuthenticationError: The credentials were not accepted.
            PermissionDeniedError: They were, and do not suffice.
            ApiError: The server refuses, or the answer is not valid.
            TransferError: No response arrived.
            ConfigurationError: The client was closed meanwhile.
            TooLargeError: The response took too long more than ``slow_retries`` times, and there is time left.
        """
        budget, reauthorized, round = RetryBudget(self.options, self.clock, failing_since), False, 0
        slow = 0
        data: dict[str, object] = {}

        async def recover(failure: RequestFailed) -> None:
            nonlocal reauthorized, slow, failing_since
            if failure.action is RetryAction.REFRESH and not reauthorized and self.authenticator is not None:
                reauthorized = await self.authenticator.refused()
                if reauthorized:
                    return
            now = self.clock.monotonic()
            failing_since = now if failing_since is None else failing_since
            slow += _took_too_long(failure)
            if slow_retries is not None and slow > slow_retries and now < failing_since + self.options.time_budget:
                raise TooLargeError(failing_since) from failure
            may_repeat = repeat or isinstance(failure.error, RateLimitedError)
            if failure.action is not RetryAction.RETRY or not may_repeat:
                raise failure.error from failure.__cause__
            await budget.spend(failure, round=round)

        async for attempt in attempts(recover):
            with attempt:
                round = budget.round
                await self._wait_for_turn()
                data = await self._execute_once(query, variables)
        return data

    async def _wait_for_turn(self) -> None:
        """Wait until the server's rate limit and ours allow the next request."""
        now = self.clock.monotonic()
        wait = self._resumes_at - now
        if self.rate_limit is not None:
            wait = max(wait, self.rate_limit.draw(1, now))
        await self.clock.sleep(max(0.0, wait))

    async def _execute_once(self, query: str, variables: Mapping[str, object]) -> dict[str, object]:
        url = self.settings.base_url + "/graphql"
        host = host_of(url)
        try:
            request = await self._request(url, query, variables)
            response = await self.http.send(request, with_client_auth=self.authenticator is None)
            try:
                body = await self._body_of(response)
            finally:
                await response.aclose()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise network_failure(error, name="", host=host, offset=None) from error
        except CorruptError as error:
            broken = httpx.ReadError(str(error))
            raise network_failure(broken, name="", host=host, offset=None) from error
        except ApiError as error:  # an endless response
            raise api_failure(error) from error
        self._keep_pace(response)
        retry_after = parse_retry_after(response.headers.get("retry-after"), self.clock.wall())
        parse = partial(parse_answer, response.status_code, body, host=host, retry_after=retry_after)
        try:
            return await self.disk.run(parse) if len(body) > LONG_ANSWER else parse()
        except AuthenticationError as error:
            raise RequestFailed(RetryAction.REFRESH, self.refused or error) from None
        except ApiError as error:
            raise api_failure(error) from None

    async def _request(self, url: str, query: str, variables: Mapping[str, object]) -> httpx.Request:
        """Build a request; a separate function, so that no frame contains its credentials when it fails."""
        headers = {"User-Agent": self.settings.user_agent, "Accept": "application/json", "Accept-Encoding": "gzip"}
        if self.authenticator is not None:
            headers |= await authorization(self.authenticator, name="", host=host_of(url))
        return self.http.build(
            "POST",
            url,
            json={"query": query, "variables": variables},
            headers=headers,
            connect_timeout=self.options.connect_timeout,
            read_timeout=self.settings.timeout,
            with_client_headers=True,
        )

    async def _body_of(self, response: httpx.Response) -> bytes:
        """Read the body, decompressed in small steps: httpx would do it in one step of unbounded size."""
        body, gunzip = bytearray(), _gunzip_for(response)
        limit = StallLimit(self.options.stall_seconds, self.options.stall_bytes)
        async with aclosing(pieces_of(response, limit)) as pieces:
            async for piece in pieces:
                for step in (piece,) if gunzip is None else gunzip.feed(piece):
                    body += step
                    if len(body) > MAX_ANSWER_BYTES:
                        raise ApiError(
                            f"{response.url.host} answered with more than {MAX_ANSWER_BYTES >> 20} MiB, too "
                            "much for this request. Check base_url, or request fewer files a page (per_page).",
                            status=response.status_code,
                        )
        return bytes(body)

    def _keep_pace(self, response: httpx.Response) -> None:
        """Make all tasks of this client wait if the server's limit is used up."""
        if response.headers.get("ratelimit-remaining") == "0" or response.status_code == 429:
            reset = parse_retry_after(response.headers.get("ratelimit-reset"), self.clock.wall())
            if reset is not None:
                self._resumes_at = self.clock.monotonic() + min(reset, LONGEST_PACE)


def _took_too_long(failure: RequestFailed) -> bool:
    """Return whether a smaller response may be delivered in time."""
    is_status = isinstance(failure.error, ApiError) and failure.error.status in TIMED_OUT
    return is_status or isinstance(failure.__cause__, httpx.ReadTimeout)


def _gunzip_for(response: httpx.Response) -> Gunzip | None:
    return Gunzip() if response.headers.get("content-encoding", "").lower() in ("gzip", "x-gzip") else None
