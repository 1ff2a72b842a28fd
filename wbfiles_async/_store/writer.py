"""Uploads the bytes of a file to its store with one request, retried until the store accepts it or nothing helps.

A store keeps an object only after all of it has arrived, so a broken request leaves the old object.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import Final, Protocol

import attrs
import httpx

from wbfiles_async._clock import Clock
from wbfiles_async._http.address_policy import ForbiddenAddressError
from wbfiles_async._http.body import RequestBody
from wbfiles_async._http.client import location_of
from wbfiles_async._http.errors import AddressError
from wbfiles_async._http.extensions import StallLimit, answer_seconds_of
from wbfiles_async._models import UploadUrl
from wbfiles_async._rate_limit import RateLimit
from wbfiles_async._retry.attempts import attempts
from wbfiles_async._retry.authorize import authorization
from wbfiles_async._retry.budget import RetryBudget
from wbfiles_async._retry.failure import RequestFailed, RetryAction, network_failure
from wbfiles_async._store.origin_limits import OriginLimits
from wbfiles_async._store.remote_file import takes_credentials
from wbfiles_async._store.request import MAX_REDIRECTS, Requester, next_hop, read_beginning
from wbfiles_async._store.request_slot import Hop, RequestSlot
from wbfiles_async._store.response import Rejection, classify_error
from wbfiles_async._store.store_errors import page_instead
from wbfiles_async._urls import host_of, is_fetchable, origin, without_secrets
from wbfiles_async.errors import PermissionDeniedError, TransferError, WBFilesError

__all__ = ["Blocks", "Content", "OpenContent", "StoreWriter", "UploadTarget"]

KEEPS_METHOD: Final = frozenset({307, 308})
"""Redirects that keep the method (RFC 9110 section 15.4). The others would become a GET."""

REFRESHES: Final = 2
"""Consecutive fresh URLs that a store refuses, after which expiry is not the reason."""

DRAINED_BYTES: Final = 4 << 20
"""Maximum bytes in the system's buffers when a request counts as sent."""

SLOWEST_LINE: Final = 64 << 10
"""Minimum bytes per second at which the buffers are sent."""

SLOWEST_STORE: Final = 32 << 20
"""Minimum bytes per second at which a store commits an object; some start only after it has arrived."""

_REFUSED_SIZES: Final = frozenset({"EntityTooLarge", "RequestBodyTooLarge", "MaxMessageLengthExceeded"})


Blocks = Callable[[], Generator[bytes | memoryview]]
"""Returns the pieces of a body; iterated and closed in one worker thread; may block."""


class OpenContent(Protocol):
    """Content that is open for reading."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def pieces(self) -> AsyncGenerator[bytes | memoryview]:
        """Read it from its beginning. A piece is valid until the next one is requested.

        The last piece is held back until it is certain that all pieces are of the same content.
        """
        ...

    @property
    def blocks(self) -> Blocks | None:
        """The same for a sending worker thread; ``None`` if it is too short for one."""
        ...


class Content(Protocol):
    """The content of an upload."""

    def open(self) -> AbstractAsyncContextManager[OpenContent]:
        """Open it."""
        ...


@attrs.define(eq=False, kw_only=True)
class UploadTarget:
    """A file of a run to write to.

    Attributes:
        name: Its name in the run.
        run: The run's path, for messages.
        url: The upload URL.
        budget: The retry budget.
        renew: Requests another URL.
    """

    name: str
    run: str
    url: UploadUrl
    budget: RetryBudget
    renew: Callable[[], Awaitable[UploadUrl]]


@attrs.frozen(eq=False, kw_only=True)
class StoreWriter:
    """Writes files to stores.

    Attributes:
        requester: Has the rules of requests.
        rate_limit: The rate limit of all connections; ``None`` for no limit.
        clock: The time.
    """

    requester: Requester
    rate_limit: RateLimit | None
    clock: Clock

    async def put(self, target: UploadTarget, content: Content, on_bytes: Callable[[int], None]) -> None:
        """Upload content with one request.

        One slot at the origin is held while bytes flow, and none while waiting for another attempt. A fresh URL is
        requested for one that has expired.

        Args:
            target: The target.
            content: The content.
            on_bytes: Called with the number of further bytes that were sent; negative if they are sent again.

        Raises:
            PermissionDeniedError: The store refuses.
            TransferError: It did not accept the bytes.
            WBFilesError: Any other failure, of the content too.
        """
        writing = _Writing(self, target, content, on_bytes)
        async for attempt in attempts(writing.recover):
            with attempt:
                await writing.write()


@attrs.define(eq=False)
class _Writing:
    """The upload of one file, with as many requests as necessary."""

    _writer: StoreWriter
    _target: UploadTarget
    _content: Content
    _on_bytes: Callable[[int], None]
    _round: int = attrs.field(default=0, init=False)
    _refreshes: int = attrs.field(default=0, init=False)
    _reauthorized: bool = attrs.field(default=False, init=False)
    _cut_off: bool = attrs.field(default=False, init=False)
    _slot: RequestSlot | None = attrs.field(default=None, init=False)
    _reported: int = attrs.field(default=0, init=False)

    async def write(self) -> None:
        """Send the content once.

        Raises:
            RequestFailed: The store did not accept it.
        """
        target, clock = self._target, self._writer.clock
        queued_at = clock.monotonic()
        url = self._first_url()
        self._round = target.budget.round
        try:
            async with self._writer.requester.limits.slot(url, target.name) as slot:
                self._slot = slot
                target.budget.exclude_queue_time(queued_at)
                async with self._content.open() as opened:
                    await self._send(url, opened, slot)
        except BaseException:
            self._report(-self._reported)
            raise

    def _first_url(self) -> str:
        requester, url = self._writer.requester, self._target.url.url
        if not is_fetchable(url):
            reason = "cannot be sent to by http"
        elif requester.api_origin[:6] == "https:" != origin(url)[:6] and not requester.options.insecure_stores:
            reason = (
                "is not protected as https is, and the API is. If your store is like that, use "
                "TransferOptions(insecure_stores=True)"
            )
        else:
            return url
        raise TransferError(
            f"{self._target.name}: the server wants this file at {without_secrets(url)}, which {reason}.",
            name=self._target.name,
        )

    async def _send(self, url: str, opened: OpenContent, slot: RequestSlot) -> None:
        """Send to the store, and follow redirects."""
        requester, hop = self._writer.requester, slot.hop
        for _ in range(MAX_REDIRECTS + 1):
            slot.responder = hop.origin
            self._report(-self._reported)  # of an earlier hop
            body = RequestBody(
                opened.size,
                lambda: self._pieces(opened),
                self._stall_limit,
                on_sent=partial(self._record_sent, hop.origin),
                blocks=opened.blocks if self._writer.rate_limit is None else None,
            )
            try:
                response = await self._send_once(url, body)
            finally:
                await body.aclose()
            hop.origin.record_answer(answer_seconds_of(response) if not opened.size else None)
            try:
                beginning = await read_beginning(response, requester.options.stall_seconds)
            finally:
                await response.aclose()
            location = location_of(response)
            if response.status_code in KEEPS_METHOD and location is not None:
                url = next_hop(self._target.name, url, location, insecure=requester.options.insecure_stores)
                target = requester.limits.of(url)
                if target is not hop.origin:
                    hop = Hop(target, await target.pass_gate(self._target.name))
                continue
            await self._check(url, response, beginning, body, hop)
            hop.origin.record_success(hop.number)
            if slot.origin is not hop.origin:
                slot.record_success()
            return
        raise TransferError(
            f"{self._target.name}: {host_of(url)} redirects more than {MAX_REDIRECTS} times. Check base_url and any "
            "proxy.",
            name=self._target.name,
            host=host_of(url),
        )

    @property
    def _stall_limit(self) -> StallLimit:
        options = self._writer.requester.options
        return StallLimit(options.stall_seconds, options.stall_bytes)

    async def _pieces(self, opened: OpenContent) -> AsyncGenerator[bytes | memoryview]:
        """Yield the content within the rate limit."""
        rate_limit, clock = self._writer.rate_limit, self._writer.clock
        async with aclosing(opened.pieces()) as pieces:
            async for piece in pieces:
                for part in self._parts(piece):
                    if rate_limit is not None:
                        await clock.sleep(rate_limit.draw(len(part), clock.monotonic()))
                    yield part

    def _record_sent(self, origin: OriginLimits, count: int) -> None:
        """Record bytes that a connection has accepted; negative if they are sent again."""
        self._report(count)
        if count > 0:
            self._target.budget.record_progress(count)
            origin.record_bytes(count)

    def _parts(self, piece: bytes | memoryview) -> list[bytes | memoryview]:
        """Split a piece for transports with a timeout per piece; ours accepts pieces gradually."""
        if self._writer.requester.http.is_ours and self._writer.rate_limit is None:
            return [piece]
        view = memoryview(piece)
        return [view[start : start + SLOWEST_LINE] for start in range(0, len(view), SLOWEST_LINE)]

    def _report(self, count: int) -> None:
        if count:
            self._reported += count
            self._on_bytes(count)

    async def _send_once(self, url: str, body: RequestBody) -> httpx.Response:
        requester = self._writer.requester
        own_credentials = requester.authenticator is None and takes_credentials(url, requester.api_origin)
        try:
            request = await self._request(url, body)
            return await requester.http.send(request, with_client_auth=own_credentials)
        except ForbiddenAddressError as error:
            raise self._network_failure(AddressError(str(error)), url, body) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                requester.limits.of(url).reachable = False
            raise self._network_failure(error, url, body) from error

    async def _request(self, url: str, body: RequestBody) -> httpx.Request:
        """Build the request of one hop; a function, so that no frame contains its URL when it fails."""
        requester, options = self._writer.requester, self._writer.requester.options
        policy = await requester.policy_for(url)
        headers = {"Accept": "*/*", **dict(self._target.url.headers), "User-Agent": requester.user_agent}
        is_api = takes_credentials(url, requester.api_origin)
        if is_api and requester.authenticator is not None:
            headers |= await authorization(requester.authenticator, name=self._target.name, host=host_of(url))
        late = min(body.length, DRAINED_BYTES) / SLOWEST_LINE + body.length / SLOWEST_STORE
        return requester.http.build(
            "PUT",
            url,
            headers=headers,
            connect_timeout=options.connect_timeout,
            read_timeout=options.stall_seconds + late,
            with_client_headers=is_api and requester.authenticator is None,
            public_only=not policy.allow_private,
            body=body,
        )

    def _network_failure(self, error: Exception, url: str, body: RequestBody) -> RequestFailed:
        failure = network_failure(error, name=self._target.name, host=host_of(url), offset=body.sent)
        failure.hopeless &= not self._writer.requester.limits.of(url).has_answered
        self._cut_off = 0 < body.sent < body.length
        return failure

    async def _check(self, url: str, response: httpx.Response, beginning: bytes, body: RequestBody, hop: Hop) -> None:
        """Check that the store accepted the content.

        Raises:
            RequestFailed: It did not.
        """
        name, host, status = self._target.name, host_of(url), response.status_code
        if not 200 <= status <= 299:
            raise await self._refusal(url, response, beginning, hop)
        page = page_instead(None, beginning, name="")
        if page is None and body.is_sent:
            return
        reason = f"answered with {page}" if page else f"answered after {body.sent} of {body.length} bytes"
        raise RequestFailed(RetryAction.RETRY, TransferError(f"{name}: {host} {reason}.", name=name, host=host))

    async def _refusal(self, url: str, response: httpx.Response, beginning: bytes, hop: Hop) -> RequestFailed:
        name, host, requester = self._target.name, host_of(url), self._writer.requester
        rejection = classify_error(response.status_code, response.headers, beginning, now=self._writer.clock.wall())
        if rejection.action is RetryAction.RESTART:
            rejection = attrs.evolve(rejection, action=RetryAction.FAIL)
        if response.status_code == 401 and takes_credentials(url, requester.api_origin) and requester.authenticator:
            is_first, self._reauthorized = not self._reauthorized, True
            if is_first and await requester.authenticator.refused():
                rejection = attrs.evolve(rejection, action=RetryAction.RETRY)
        if response.status_code == 400 and "RequestTimeout" in rejection.reason:  # S3's code for a stalled connection
            rejection = attrs.evolve(rejection, action=RetryAction.RETRY)
        failure = RequestFailed(
            rejection.action,
            _refusal_error(rejection, name, host),
            rejection.retry_after,
            throttled=rejection.throttled,
        )
        if rejection.throttled:
            failure.pause = hop.origin.record_throttled(hop.number, rejection.retry_after)
        return failure

    async def recover(self, failure: RequestFailed) -> None:
        """Prepare the next request, or raise."""
        target, slot = self._target, self._slot
        was_cut_off, self._cut_off = self._cut_off, False
        match failure.action:
            case RetryAction.REFRESH if self._refreshes < REFRESHES:
                self._refreshes += 1
                target.url = await target.renew()
            case RetryAction.RETRY:
                assert slot is not None  # noqa: S101  # of the request that failed
                slot.responder.record_failure(failure.error, progressed=False)
                try:
                    await target.budget.spend(failure, round=self._round, lost=True, pause=failure.pause)
                except WBFilesError as error:
                    since = target.budget.failing_since
                    slot.responder.record_exhausted((target.run, target.name), error, since=since)
                    raise
                if was_cut_off:  # perhaps by a refusal, which not every transport reads while sending
                    target.url = await target.renew()
            case _:
                raise failure.error from failure.__cause__


def _refusal_error(rejection: Rejection, name: str, host: str) -> WBFilesError:
    reason = f"{host}: {rejection.reason}"
    if rejection.status in (401, 403):
        return PermissionDeniedError(
            f"{name}: the store refused to accept this file, {reason}. Check that these credentials may write to the "
            "run."
        )
    advice = ""
    if rejection.status == 413 or any(code in rejection.reason for code in _REFUSED_SIZES):
        advice = " It is larger than the store takes in one request (5 GB with S3); split it."
    return TransferError(f"{name}: the store did not accept this file, {reason}.{advice}", name=name, host=host)
