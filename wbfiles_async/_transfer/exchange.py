"""One GET of a store and its answer, whatever carries it: our engine, or an injected httpx transport or client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

import attrs
import httpx

from wbfiles_async._protocol.low_speed import LowSpeed

Take = Callable[[bytes | memoryview], None]
"""Uses a piece of a body before it returns. Called in order and in worker threads, since it may block."""


class Answer(Protocol):
    """An answer whose body is not read yet."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names without regard to case."""
        ...

    def pieces(self) -> AsyncIterator[bytes | memoryview]:
        """Iterate over the raw body. A piece can be used until the next one is asked for.

        Raises:
            httpx.TransportError: The connection failed.
        """
        ...

    def arrived(self) -> bytes | None:
        """Give the whole body where it came along with its head, as small ones do; ``None`` where it did not."""
        ...

    @property
    def drain(self) -> Callable[[Take, LowSpeed], Awaitable[None]] | None:
        """The quick way for a large body: receives it in a thread and has it taken there; ``None`` where there is none.

        Raises:
            httpx.TransportError: The connection failed, or stalled; what came before is taken.
        """
        ...

    async def aclose(self) -> None:
        """Free the connection; of a body that is not read to its end, by closing it."""
        ...


@attrs.frozen
class Times:
    """How long a request waits.

    Attributes:
        connect: Seconds until the connection stands.
        read: Seconds of silence.
    """

    connect: float
    read: float


Send = Callable[[httpx.Request], Awaitable[httpx.Response]]
"""Send one request of httpx as it stands."""

Get = Callable[[str, Mapping[str, str], Times], Awaitable[Answer]]
"""Send a GET with exactly these headers: no cookies, no credentials, no redirects followed."""


def get_by(send: Send) -> Get:
    """Make the GET of something that sends httpx's requests."""

    async def get(url: str, headers: Mapping[str, str], times: Times) -> Answer:
        waits = {"connect": times.connect, "read": times.read, "write": times.read, "pool": None}
        return _HttpxAnswer(await send(httpx.Request("GET", url, headers=headers, extensions={"timeout": waits})))

    return get


@attrs.frozen
class _HttpxAnswer:
    _response: httpx.Response
    drain: None = None

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    def arrived(self) -> bytes | None:
        return None

    def pieces(self) -> AsyncIterator[bytes]:
        # Not aiter_raw: it refuses a body that came with the answer, as mocks send it.
        assert isinstance(self._response.stream, httpx.AsyncByteStream)  # noqa: S101
        return aiter(self._response.stream)

    async def aclose(self) -> None:
        await self._response.aclose()
