"""One request to a store for bytes of a file: header fields of each hop, our own redirect rules, refusals."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import attrs
import httpx

from wbfiles_async._auth.authenticators import Authenticator
from wbfiles_async._clock import Clock
from wbfiles_async._http.address_policy import AddressPolicy, ForbiddenAddressError
from wbfiles_async._http.client import HttpClient, location_of
from wbfiles_async._http.errors import AddressError
from wbfiles_async._http.extensions import answer_seconds_of
from wbfiles_async._options import TransferOptions
from wbfiles_async._rate_limit import piece_bytes
from wbfiles_async._retry.authorize import authorization
from wbfiles_async._retry.failure import RequestFailed, RetryAction, network_failure
from wbfiles_async._store.limits import StoreLimits
from wbfiles_async._store.private_stores import PrivateStores
from wbfiles_async._store.ranges import range_header
from wbfiles_async._store.remote_file import RemoteFile, takes_credentials
from wbfiles_async._store.request_slot import Hop, RequestSlot
from wbfiles_async._store.response import Rejection, classify_error, rejection_failure
from wbfiles_async._store.store_errors import page_instead
from wbfiles_async._urls import SecretUrl, host_of, is_fetchable, origin, resolve_location, without_secrets
from wbfiles_async.errors import AuthenticationError, TransferError

__all__ = ["MAX_REDIRECTS", "Requester", "StoreResponse", "next_hop", "read_beginning", "rejected"]

MAX_REDIRECTS: Final = 5
"""Maximum hops: the API needs one, a load balancer adds one or two."""

REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})

REFUSAL_BYTES: Final = 16 << 10
"""Maximum bytes to read of an error response: enough for its code."""


@attrs.frozen(eq=False)
class StoreResponse:
    """A 2xx response to a request for bytes.

    Attributes:
        response: The response, unread.
        url: Its URL, after redirects.
        hop: The request, with its number at that origin.
    """

    response: httpx.Response
    url: str
    hop: Hop


@attrs.frozen(eq=False, kw_only=True)
class Requester:
    """Sends requests for files.

    Attributes:
        http: Sends them.
        authenticator: Provides the API's credentials; ``None`` if an injected client brings its own.
        refused: The error for credentials that the API refuses, if they are ours.
        api_origin: The only origin that ever receives our credentials.
        user_agent: What the library calls itself.
        options: The timeouts of requests.
        private_stores: Whether stores may have private addresses.
        limits: The limits of each origin.
        clock: The time.
    """

    http: HttpClient
    authenticator: Authenticator | None
    refused: AuthenticationError | None
    api_origin: str
    user_agent: str
    options: TransferOptions
    private_stores: PrivateStores
    limits: StoreLimits
    clock: Clock

    async def get(
        self, file: RemoteFile, start: int, stop: int | None, slot: RequestSlot, *, ranged: bool = False
    ) -> StoreResponse:
        """Request ``[start, stop)``, following redirects by our own rules.

        Args:
            file: The file.
            start: First byte.
            stop: End, exclusive; ``None`` for the end of a file whose length is unknown.
            slot: The slot at the first origin; held.
            ranged: Whether all of the file is requested as a range, too.

        Raises:
            RequestFailed: No usable response arrived.
            WBFilesError: A failure that a retry cannot help.
        """
        whole = start == 0 and (stop is None or (stop == file.size and not ranged))
        opened = file.take_opened()
        url = file.url(self.limits.avoided) if opened is None else opened.url
        hop, repeated = slot.hop, False
        for _ in range(MAX_REDIRECTS + 1):
            slot.responder = hop.origin
            if opened is None:
                response = await self._send(file, url, start, None if whole else range_header(start, stop))
            elif isinstance(opened.outcome, httpx.Response):
                response, opened = opened.outcome, None
            else:
                error, opened = opened.outcome, None
                raise self._network_failure(error, file, url, start)
            hop.origin.record_answer(answer_seconds_of(response))
            is_page = is_page_instead(file, response)
            if 200 <= response.status_code < 300 and not is_page:
                file.server = hop.origin
                return StoreResponse(response, url, hop)
            try:
                beginning = await read_beginning(response, self.options.stall_seconds)
            finally:
                await response.aclose()
            if is_page:
                raise page_failure(file, url, start, response, beginning)
            location = location_of(response)
            if response.status_code in REDIRECT_STATUSES and location is not None:
                url = next_hop(file.name, url, location, insecure=self.options.insecure_stores)
                hop = await self._hop_to(url, file, hop)
                continue
            if response.status_code == 401 and not repeated and (authenticator := self._authenticator_for(url)):
                repeated = await authenticator.refused()
                if repeated:
                    continue
            raise await self._refusal(file, url, start, response, beginning, hop)
        raise TransferError(
            f"{file.name}: {host_of(url)} redirects more than {MAX_REDIRECTS} times. Check base_url and any proxy.",
            name=file.name,
            host=host_of(url),
        )

    async def _hop_to(self, url: str, file: RemoteFile, hop: Hop) -> Hop:
        """Return the next hop of a redirected request, once its origin accepts one."""
        target = self.limits.of(url)
        return hop if target is hop.origin else Hop(target, await target.pass_gate(file.name))

    def _authenticator_for(self, url: str) -> Authenticator | None:
        """Return what provides our credentials for a URL; ``None`` if it gets none of ours."""
        return self.authenticator if takes_credentials(url, self.api_origin) else None

    async def policy_for(self, url: str) -> AddressPolicy:
        """Return the address policy of a request.

        Raises:
            ForbiddenAddressError: The URL's own host is forbidden.
        """
        policy = AddressPolicy(allow_private=origin(url) == self.api_origin or await self.private_stores.known())
        policy.check_host(host_of(url))
        return policy

    async def _send(self, file: RemoteFile, url: str, start: int, range_field: str | None) -> httpx.Response:
        """Send one hop."""
        own_credentials = self.authenticator is None and takes_credentials(url, self.api_origin)
        try:
            policy = await self.policy_for(url)
            # No variable holds the request: tools that print tracebacks show variables.
            build = self._request(file, url, range_field, public_only=not policy.allow_private)
            return await self.http.send(await build, with_client_auth=own_credentials)
        except ForbiddenAddressError as error:
            raise self._network_failure(AddressError(str(error)), file, url, start) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                self.limits.of(url).reachable = False
            raise self._network_failure(error, file, url, start) from error

    async def _request(
        self, file: RemoteFile, url: str, range_field: str | None, *, public_only: bool
    ) -> httpx.Request:
        """Build a request, with only the header fields that this hop may see."""
        headers = {
            "User-Agent": self.user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "gzip" if file.encoded else "identity",
        }
        if range_field is not None:
            headers["Range"] = range_field
            if file.etag:
                headers["If-Match"] = file.etag
        is_api = takes_credentials(url, self.api_origin)
        if authenticator := self._authenticator_for(url):
            headers |= await authorization(authenticator, name=file.name, host=host_of(url))
        return self.http.build(
            "GET",
            url,
            headers=headers,
            connect_timeout=self.options.connect_timeout,
            read_timeout=self.options.stall_seconds,
            with_client_headers=is_api and self.authenticator is None,
            public_only=public_only,
            on_round_trip=self.limits.of(url).record_round_trip,
            piece_bytes=piece_bytes(self.options.limit_rate),
        )

    def _network_failure(self, error: Exception, file: RemoteFile, url: str, start: int) -> RequestFailed:
        failure = network_failure(error, name=file.name, host=host_of(url), offset=start)
        failure.hopeless &= not self.limits.of(url).has_answered
        return failure

    async def _refusal(
        self, file: RemoteFile, url: str, start: int, response: httpx.Response, beginning: bytes, hop: Hop
    ) -> RequestFailed:
        rejection = classify_error(response.status_code, response.headers, beginning, now=self.clock.wall())
        is_ours = self._authenticator_for(url) is not None
        if response.status_code == 401 and is_ours:
            rejection = attrs.evolve(rejection, action=RetryAction.FAIL)
        if response.status_code == 406 and not file.encoded:  # it has only the compressed form
            rejection = attrs.evolve(rejection, action=RetryAction.DECODE)
        failure = rejected(rejection, file, url, start, self.refused if is_ours else None)
        if rejection.throttled:
            failure.pause = hop.origin.record_throttled(hop.number, rejection.retry_after)
        return failure


def next_hop(name: str, url: str, location: bytes, *, insecure: bool) -> str:
    """Resolve a redirect's target (RFC 9110 section 10.2.2); https never falls to http unless that is allowed.

    Args:
        name: The file, for messages.
        url: The URL that redirects.
        location: The target, as sent.
        insecure: Whether https may fall to http.

    Raises:
        TransferError: Its target must not be requested.
    """
    target = SecretUrl(resolve_location(url, location))
    if not is_fetchable(target):
        reason = "cannot be fetched by http"
    elif origin(url).startswith("https:") and not origin(target).startswith("https:") and not insecure:
        reason = "is not protected as https is. If your store is like that, use TransferOptions(insecure_stores=True)"
    else:
        return target
    raise TransferError(
        f"{name}: {host_of(url)} redirects to {without_secrets(target)!r}, which {reason}.",
        name=name,
        host=host_of(url),
    )


def is_page_instead(file: RemoteFile, response: httpx.Response) -> bool:
    """Return whether a response of status 200 is a web page of another length than the file's."""
    length = response.headers.get("content-length", "")
    is_other = response.status_code == 200 and file.size is not None and length not in ("", str(file.size))
    is_encoded = file.encoded or "content-encoding" in response.headers
    return is_other and not is_encoded and page_of(file, response, b"") is not None


def page_of(file: RemoteFile, response: httpx.Response, beginning: bytes) -> str | None:
    """Return a description of a web page in place of a file; ``None`` if it is none."""
    if "html" in (file.attributes.mimetype or ""):
        return None
    return page_instead(response.headers.get("content-type"), beginning, name=file.name)


def page_failure(
    file: RemoteFile, url: str, start: int, response: httpx.Response, beginning: bytes = b""
) -> RequestFailed:
    """Return the failure for a web page in place of a file; the API's own URL may bypass its sender."""
    reason = page_of(file, response, beginning) or ""
    return rejected(Rejection(RetryAction.REFRESH, reason, response.status_code), file, url, start)


async def read_beginning(response: httpx.Response, seconds: float) -> bytes:
    """Read the first bytes of an error response; of a truncated or trickling one, those that have arrived.

    A short one is read to its end, so that its connection can be reused.
    """
    body = bytearray()
    with suppress(httpx.TransportError, TimeoutError):
        async with asyncio.timeout(seconds):
            assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101
            async for piece in response.stream:
                body += piece
                if len(body) > REFUSAL_BYTES:
                    break
    return bytes(body[:REFUSAL_BYTES])


def rejected(
    rejection: Rejection, file: RemoteFile, url: str, start: int, refused: AuthenticationError | None = None
) -> RequestFailed:
    """Return the failure of a rejected response."""
    return rejection_failure(rejection, name=file.name, run=file.run, host=host_of(url), offset=start, refused=refused)
