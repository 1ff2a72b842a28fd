"""Adapts clients and transports of httpx2 to httpx.

httpx2 has httpx's interface but its own classes, so neither package accepts the other's requests, responses and
errors. They are translated here, and nothing else depends on httpx2. Imported only if one of its objects is
injected.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import httpx2

__all__ = ["Httpx2Client", "Httpx2Transport"]


class Httpx2Transport(httpx.AsyncBaseTransport):
    """A transport that uses one of httpx2.

    Args:
        transport: Sends the requests; closed with this one.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            httpx.TransportError: Those with the names of httpx2's.
        """
        try:
            with _errors_of_httpx():
                return _response(await self._transport.handle_async_request(_request(request)), request)
        finally:
            del request  # see `HttpClient.send`

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


class Httpx2Client:
    """Builds and sends requests with a client of httpx2, like ``httpx.AsyncClient``.

    Args:
        client: Sends them.
    """

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    @property
    def is_closed(self) -> bool:
        """Whether it is closed."""
        return self._client.is_closed

    def build_request(
        self, method: str, url: httpx.URL | str, *, content: httpx.AsyncByteStream | None = None, **others: Any
    ) -> httpx.Request:
        """Build a request with the client's own header fields, cookies and parameters.

        Args:
            method: The method.
            url: The URL.
            content: A body in pieces, whose length is stated.
            others: As for ``httpx.AsyncClient.build_request``.
        """
        with _errors_of_httpx():
            built = self._client.build_request(method, str(url), **others)
        return httpx.Request(
            built.method,
            str(built.url),
            headers=built.headers.raw,
            stream=httpx.ByteStream(built.read()) if content is None else content,
            extensions=dict(built.extensions),
        )

    async def send(
        self, request: httpx.Request, *, stream: bool, auth: object, follow_redirects: bool
    ) -> httpx.Response:
        """Send a request.

        Args:
            request: The request.
            stream: Whether the body is left unread.
            auth: ``None`` for no authentication, ``httpx.USE_CLIENT_DEFAULT`` for the client's own.
            follow_redirects: Whether redirects are followed.

        Raises:
            httpx.TransportError: Those with the names of httpx2's.
        """
        theirs = httpx2.USE_CLIENT_DEFAULT if auth is httpx.USE_CLIENT_DEFAULT else None
        try:
            with _errors_of_httpx():
                sending = self._client.send(
                    _request(request), stream=stream, auth=theirs, follow_redirects=follow_redirects
                )
                return _response(await sending, request)
        finally:
            del request  # see `HttpClient.send`

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()


class _RequestBody(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _ResponseBody(httpx.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for piece in self._stream:
                yield piece

    async def aclose(self) -> None:
        with _errors_of_httpx():
            await self._stream.aclose()


def _request(request: httpx.Request) -> httpx2.Request:
    assert isinstance(request.stream, httpx.AsyncByteStream)  # noqa: S101  # an AsyncClient sent it
    return httpx2.Request(
        request.method,
        str(request.url),
        headers=request.headers.raw,
        stream=_RequestBody(request.stream),
        extensions=request.extensions,
    )


def _response(response: httpx2.Response, request: httpx.Request) -> httpx.Response:
    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  # an AsyncClient received it
    return httpx.Response(
        response.status_code,
        headers=response.headers.raw,
        stream=_ResponseBody(response.stream),
        extensions=dict(response.extensions),
        request=request,
    )


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise httpx2's errors as httpx's of the same names."""
    try:
        yield
    except _ERRORS as error:
        raise _translated(error) from error


_ERRORS: Final = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError)


def _translated(error: Exception) -> Exception:
    """Return the corresponding error class of httpx."""
    for kind in type(error).__mro__:
        found = getattr(httpx, kind.__name__, None)
        if kind.__module__ == httpx2.__name__ and isinstance(found, type) and issubclass(found, Exception):
            return found(str(error))
    return error
