"""Where one file's bytes come from: its URLs, the object's identity, and how both are renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container

import attrs
import httpx

from wbfiles_async._models import FileAttributes
from wbfiles_async._protocol.checksums import parse_md5
from wbfiles_async._protocol.urls import is_fetchable, is_signed, origin, without_secrets
from wbfiles_async._transfer.exchange import Answer
from wbfiles_async._transfer.failures import Budget, Failure
from wbfiles_async._transfer.origins import Turn
from wbfiles_async.errors import UnsupportedReferenceError

RENEWALS = 1
"""URLs renewed in a row without a byte moved: if a fresh one is refused too, time is not the reason."""


@attrs.frozen(eq=False)
class Begun:
    """A file's request that was sent in a series with others, and what came of it.

    Attributes:
        url: Where it went.
        turn: Its turn at the origin, still held.
        outcome: The answer, whose body nobody has read yet; or why there was none.
    """

    url: str
    turn: Turn
    outcome: Answer | httpx.TransportError

    async def answer(self) -> Answer:
        """Give the answer.

        Raises:
            httpx.TransportError: There was none.
        """
        if isinstance(self.outcome, httpx.TransportError):
            raise self.outcome
        return self.outcome

    async def drop(self) -> None:
        """Let go of answer and turn."""
        self.turn.release()
        if not isinstance(self.outcome, httpx.TransportError):
            await self.outcome.aclose()


@attrs.define(eq=False)
class Source:
    """One file to read from; shared by all requests for its parts.

    Attributes:
        attributes: What the API says of the file; replaced when it is renewed.
        run: The run's path, for messages.
        budget: How long the file may go on failing.
        etag: The strong validator of the object that is being read, once an answer gave it.
        generation: Counts the renewals.
        unranged: Whether parts of it cannot be asked for.
        object: Counts the objects: bytes of different ones must not be mixed.
        encoded: Whether the stored bytes are compressed, and what is handed out is what is in them.
        decoded_md5: The md5 of what was handed out, where that is not what the API states: once the stored bytes
            were found right.
        begun: The request that was sent for it already; the next reading of the file goes on from there.
    """

    attributes: FileAttributes
    run: str
    budget: Budget
    relist: Callable[[], Awaitable[FileAttributes]] | None = None
    etag: str | None = None
    generation: int = 0
    object: int = 0
    unranged: bool = False
    encoded: bool = False
    decoded_md5: bytes | None = None
    begun: Begun | None = None
    _renewals: int = 0
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """The file's name in the run."""
        return self.attributes.name

    @property
    def size(self) -> int | None:
        """Length in bytes of what is handed out, where known; the API states that of what is stored."""
        return None if self.encoded else self.attributes.size_bytes

    @property
    def md5(self) -> bytes | None:
        """The 16 bytes of the md5 of what is handed out, where known."""
        return self.decoded_md5 or self.stated_md5

    @property
    def stated_md5(self) -> bytes | None:
        """The 16 bytes of the md5 that the API states, which is that of what is stored."""
        return parse_md5(self.attributes.md5)

    def take_begun(self) -> Begun | None:
        """Give the request that was sent already, once."""
        begun, self.begun = self.begun, None
        return begun

    def begin_anew(self) -> None:
        """Forget what was learnt of the object: it may be another one."""
        self.encoded = False
        self.decoded_md5 = None

    def url(self, unreachable: Container[str]) -> str:
        """Choose the URL to ask: the store's own, which spares the API a request, else the API's.

        Args:
            unreachable: Origins that are not asked while another way is left.

        Raises:
            UnsupportedReferenceError: Neither can be fetched by http.
        """
        direct, url = self.attributes.direct_url, self.attributes.url
        last = None
        for candidate in (direct, url):
            if candidate and is_fetchable(candidate):
                if origin(candidate) not in unreachable:
                    return candidate
                last = candidate
        if last is not None:
            return last
        shown = without_secrets(direct or url or "")
        raise UnsupportedReferenceError(
            f"{self.name}: this file is a reference to {shown or 'nothing'}, which cannot be fetched by http. "
            "Fetch it with the tools of that store; path_uri gives its place.",
            uri=shown,
        )

    def moved(self, count: int) -> None:
        """Note that bytes arrived."""
        self._renewals = 0
        self.budget.moved(count)

    async def renew(self, failure: Failure, *, generation: int) -> None:
        """Ask the API for the file anew, once for all requests that found the same generation unusable.

        Args:
            failure: Why.
            generation: The value of ``generation`` when the failed request began.

        Raises:
            WBFilesError: The failure's own error, where renewing cannot help or did not.
            RemoteFileNotFoundError: The file is gone.
        """
        async with self._lock:
            if generation != self.generation:
                return
            self._renewals += 1
            if self.relist is None or self._renewals > RENEWALS:
                raise failure.error from failure.__cause__
            before, self.attributes = self.attributes, await self.relist()
            self.generation += 1
            if not same_object(before, self.attributes):
                self.etag = None
                self.object += 1


def same_object(one: FileAttributes, other: FileAttributes) -> bool:
    """Tell whether two answers of the API describe the same bytes."""
    return (one.id, one.size_bytes, one.md5, one.updated_at) == (
        other.id,
        other.size_bytes,
        other.md5,
        other.updated_at,
    )


def takes_credentials(url: str, api_origin: str) -> bool:
    """Tell whether our credentials go with a request: to the API's exact origin, and never on a signed URL."""
    return origin(url) == api_origin and not is_signed(url)
