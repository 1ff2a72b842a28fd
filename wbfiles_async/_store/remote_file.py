"""One remote file: its URLs, the identity of its object, and their renewal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterator
from typing import Final

import attrs
import httpx

from wbfiles_async._md5 import parse_md5
from wbfiles_async._models import FileAttributes
from wbfiles_async._retry.budget import RetryBudget
from wbfiles_async._retry.failure import RequestFailed, RetryAction
from wbfiles_async._store.origin_limits import OriginLimits
from wbfiles_async._store.request_slot import RequestSlot
from wbfiles_async._urls import SecretUrl, is_fetchable, is_signed, origin, without_secrets
from wbfiles_async.errors import UnsupportedReferenceError

__all__ = ["Opened", "RemoteFile", "takes_credentials"]


FALL_BACK_ATTEMPTS: Final = 3
"""Attempts with the API's URL if the store's own keeps failing; most APIs redirect to the same store."""


@attrs.frozen(eq=False)
class Opened:
    """A request that has been sent for a file, as a follow-up of another file.

    Attributes:
        url: Its URL.
        slot: Its slot at the origin, still held.
        outcome: The unread response, or the error.
    """

    url: str
    slot: RequestSlot
    outcome: httpx.Response | Exception

    async def drop(self) -> None:
        """Release the slot and the unread response."""
        self.slot.release()
        if isinstance(self.outcome, httpx.Response):
            await self.outcome.aclose()


@attrs.define(eq=False)
class RemoteFile:
    """A file to read from; shared by all requests for its parts.

    Attributes:
        attributes: The file's attributes from the API; replaced by a refresh.
        run: The run's path, for messages.
        budget: The retry budget.
        relist: Requests the file's attributes from the API again; ``None`` if impossible.
        allows_plain_http: Whether it may be requested without TLS.
        etag: The strong validator of the object being read, once a response has stated it.
        generation: Counts the refreshes.
        unranged: Whether parts of it cannot be requested.
        object: The number of the object: bytes of different ones must not be mixed.
        encoded: Whether the stored bytes are compressed, and yielded decompressed.
        decoded_md5: The md5 of the yielded bytes, if it differs from the API's, once the stored bytes have been
            verified.
        opened: A request that has been sent for it, to be used by the next read.
        server: The origin that served bytes of it last, after redirects; ``None`` before the first ones.
    """

    attributes: FileAttributes
    run: str
    budget: RetryBudget
    relist: Callable[[], Awaitable[FileAttributes]] | None = None
    allows_plain_http: bool = True
    etag: str | None = None
    generation: int = 0
    object: int = 0
    unranged: bool = False
    encoded: bool = False
    decoded_md5: bytes | None = None
    opened: Opened | None = None
    server: OriginLimits | None = None
    _md5_of: FileAttributes | None = None
    _stated_md5: bytes | None = None
    _refused_refreshes: int = 0
    _direct_url_refused: bool = False
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """The file's name in the run."""
        return self.attributes.name

    @property
    def size(self) -> int | None:
        """Length in bytes of the yielded content, if known; the API states that of the stored bytes."""
        return None if self.encoded else self.attributes.size_bytes

    @property
    def md5(self) -> bytes | None:
        """The 16 bytes of the md5 of the yielded content, if known."""
        return self.decoded_md5 or self.stated_md5

    @property
    def stated_md5(self) -> bytes | None:
        """The 16 bytes of the md5 from the API, which is that of the stored bytes."""
        if self._md5_of is not self.attributes:
            self._md5_of, self._stated_md5 = self.attributes, parse_md5(self.attributes.md5)
        return self._stated_md5

    def take_opened(self) -> Opened | None:
        """Return the request that has been sent, once."""
        opened, self.opened = self.opened, None
        return opened

    def url(self, unreachable: Container[str]) -> str:
        """Choose the URL to request: the store's own, which saves a request to the API, otherwise the API's.

        Args:
            unreachable: Origins that are avoided while another URL is left.

        Raises:
            UnsupportedReferenceError: Neither can be requested.
        """
        last = None
        for candidate in self._candidates():
            if origin(candidate) not in unreachable:
                return SecretUrl(candidate)
            last = last or candidate
        if last is not None:
            return SecretUrl(last)
        raise self._no_url()

    def _candidates(self) -> Iterator[str]:
        direct, url = self.attributes.direct_url, self.attributes.url
        if self._direct_url_refused:
            direct, url = url, direct
        for candidate in (direct, url):
            if candidate and is_fetchable(candidate) and (self.allows_plain_http or origin(candidate)[:6] == "https:"):
                yield candidate

    def _no_url(self) -> UnsupportedReferenceError:
        shown = without_secrets(self.attributes.direct_url or self.attributes.url or "")
        if not self.allows_plain_http and is_fetchable(self.attributes.direct_url or self.attributes.url):
            return UnsupportedReferenceError(
                f"{self.name}: {shown} is not protected as https is, and the API is. If your store is like that, use "
                "TransferOptions(insecure_stores=True).",
                uri=shown,
            )
        return UnsupportedReferenceError(
            f"{self.name}: this file is a reference to {shown or 'nothing'}, which cannot be fetched by http. "
            "Fetch it with the tools of that store; path_uri gives its place.",
            uri=shown,
        )

    def record_progress(self, count: int) -> None:
        """Record that bytes arrived."""
        self._refused_refreshes = 0
        self.budget.record_progress(count)

    def record_answer(self) -> None:
        """Record that its URL was accepted, though the response was not as requested."""
        self._refused_refreshes = 0

    def fall_back(self) -> bool:
        """Continue with the API's own URL for a few attempts; return whether that is possible and new."""
        if not self._has_other_url():
            return False
        self._direct_url_refused = True
        self._refused_refreshes = 0
        self.generation += 1
        self.budget.begin_again(FALL_BACK_ATTEMPTS)
        return True

    def forget_object(self) -> None:
        """Forget the object's identity: it may be another one."""
        self.encoded = False
        self.decoded_md5 = None

    async def refresh(self, failure: RequestFailed, *, generation: int) -> None:
        """Request the attributes from the API again, once for all requests that failed with the same generation.

        If a fresh URL of the store is refused too, it had not expired, and the API's own URL is used.

        Args:
            failure: Why.
            generation: The value of ``generation`` when the failed request began.

        Raises:
            WBFilesError: The failure's own error, if refreshing does not help.
            RemoteFileNotFoundError: The file is gone.
        """
        async with self._lock:
            if generation != self.generation:
                return
            self._refused_refreshes += 1
            if self._refused_refreshes > 1 and failure.action is RetryAction.REFRESH and self.fall_back():
                self._refused_refreshes = 1
                return
            if self.relist is None or self._refused_refreshes > 1:
                raise failure.error from failure.__cause__
            before, self.attributes = self.attributes, await self.relist()
            self.generation += 1
            if not _same_object(before, self.attributes):
                self.etag = None
                self.object += 1

    def _has_other_url(self) -> bool:
        return not self._direct_url_refused and len({*self._candidates()}) > 1


def _same_object(one: FileAttributes, other: FileAttributes) -> bool:
    """Return whether two responses of the API describe the same bytes."""
    return (one.id, one.size_bytes, one.md5, one.updated_at) == (
        other.id,
        other.size_bytes,
        other.md5,
        other.updated_at,
    )


def takes_credentials(url: str, api_origin: str) -> bool:
    """Return whether to send our credentials: only to the API's exact origin, and never with a signed URL."""
    return origin(url) == api_origin and not is_signed(url)
