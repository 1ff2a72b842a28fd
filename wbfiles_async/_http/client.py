"""The one httpx client of an API client: ours, or an injected one. It sends every request."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import httpx

from wbfiles_async._http import log_filter
from wbfiles_async._http.body import RequestBody
from wbfiles_async._http.cancel_once import Closing, cancel_once
from wbfiles_async._http.errors import ClientClosedError, EnvironmentInvalidError, NoThreadError
from wbfiles_async._http.proxies import ProxyRules, ProxyUrlError
from wbfiles_async._http.routing import RoutingTransport
from wbfiles_async._http.tls import CertificatesError, create_ssl_context
from wbfiles_async._threads import ThreadsExhaustedError

if TYPE_CHECKING:
    import httpx2

    from wbfiles_async._http.httpx2 import Httpx2Client

    InjectedClient = httpx.AsyncClient | httpx2.AsyncClient
    InjectedTransport = httpx.AsyncBaseTransport | httpx2.AsyncBaseTransport

__all__ = ["HttpClient", "HttpOptions", "location_of", "open_client"]

SLACK_SECONDS: Final = 1.0
"""Additional seconds for connecting and a head beyond their own limits, with any transport."""


@attrs.frozen(kw_only=True)
class HttpOptions:
    """The user's options for sending requests.

    Attributes:
        http_client: Sends everything, and is never closed.
        transport: Replaces our own transport below our client.
        ssl_context: Verifies servers' certificates, in place of the system's authorities.
        proxies: The proxy rules, in place of the environment's.
    """

    http_client: InjectedClient | None = None
    transport: InjectedTransport | None = None
    ssl_context: ssl.SSLContext | None = None
    proxies: ProxyRules | None = None


class HttpClient:
    """Sends requests with an ``httpx.AsyncClient``, never following redirects.

    Args:
        client: Sends them.
        owned: Whether ``aclose`` closes the client.

    Attributes:
        is_ours: Whether we made the client, and its transport.
    """

    def __init__(self, client: httpx.AsyncClient | Httpx2Client, *, owned: bool, is_ours: bool) -> None:
        self._client = client
        self._owned = owned
        self.is_ours = is_ours
        self._is_closed = False
        self._closing = Closing()

    @property
    def is_closed(self) -> bool:
        """Whether it is closed."""
        return self._is_closed or self._client.is_closed

    def build(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        connect_timeout: float,
        read_timeout: float,
        with_client_headers: bool = False,
        public_only: bool = False,
        json: object = None,
        data: dict[str, str] | None = None,
        body: RequestBody | None = None,
        on_round_trip: Callable[[float], None] | None = None,
        piece_bytes: int | None = None,
    ) -> httpx.Request:
        """Build a request. The URL reaches the server byte for byte: a signed one must not be normalized.

        Args:
            method: The method.
            url: The URL.
            headers: All header fields except those of the body.
            connect_timeout: Seconds until the connection is ready.
            read_timeout: Seconds without a byte of the response.
            with_client_headers: Whether to add the header fields of an injected client.
            public_only: Whether only public addresses are allowed.
            json: A body.
            data: A form as the body.
            body: A body in pieces, which states how much of it the server must accept in which time.
            on_round_trip: Called with the round-trip time in seconds after connecting, if known.
            piece_bytes: Maximum bytes of a piece of the response's body, if it is not drained.

        Raises:
            httpx.InvalidURL: httpx cannot send to this URL.
        """
        target = _target_of(url) if url.isascii() else b""
        write_timeout = read_timeout if body is None else body.stall.seconds
        waits = {"connect": connect_timeout, "read": read_timeout, "write": write_timeout, "pool": None}
        extensions: dict[str, object] = {"timeout": waits, "public_only": public_only}
        if body is not None:
            headers = headers | {"Content-Length": str(body.length)}
            extensions |= {"least_bytes": body.stall.least, "body": body}
        if on_round_trip is not None:
            extensions["on_round_trip"] = on_round_trip
        if piece_bytes is not None:
            extensions["piece_bytes"] = piece_bytes
        make: Callable[..., httpx.Request] = httpx.Request
        if with_client_headers and not self._owned:
            make = self._client.build_request
        try:
            if self.is_ours and target:
                # httpx takes longer to parse a signed URL than for the rest of a request, and nothing else needs it.
                where: httpx.URL | str = _origin_of(url[: len(url) - len(target)])
            else:
                where = url
            request = make(method, where, headers=headers, extensions=extensions, json=json, data=data, content=body)
        except UnicodeError as error:  # of idna
            raise httpx.InvalidURL(str(error)) from None
        if body is not None:
            request.stream = body  # httpx wraps it in a generator, which would be closed in another task
        if target and target != request.url.raw_path:
            request.extensions["target"] = target
        return request

    async def send(self, request: httpx.Request, *, with_client_auth: bool = False) -> httpx.Response:
        """Send a request unchanged.

        With any transport, the head of the response must be complete within the timeouts for connecting and for
        reading; with httpx's own transports, which report when they send, within the timeout for reading from then
        on. A body in pieces has no overall limit: each piece has the timeout for writing.

        Args:
            request: The request.
            with_client_auth: Whether to use the authentication of an injected client.

        Returns:
            The response, its body unread.

        Raises:
            httpx.TransportError: The request failed, or the client was closed.
        """
        if self.is_closed:
            raise ClientClosedError("the client is closed")
        auth = httpx.USE_CLIENT_DEFAULT if with_client_auth and not self._owned else None
        waits = request.extensions["timeout"]
        timeout = asyncio.timeout(waits["connect"] + waits["read"] + SLACK_SECONDS)
        request.extensions["trace"] = partial(_restart_when_sent, timeout, waits["read"])  # ours ignores it
        body: RequestBody | None = request.extensions.pop("body", None)
        if body is not None:
            body.on_wait = partial(_reschedule, timeout, waits, body, may_stall=not self.is_ours)
        try:
            async with timeout:
                sending = self._client.send(request, stream=True, auth=auth, follow_redirects=False)
                return await (sending if self.is_ours else cancel_once(sending, self._closing))
        except TimeoutError:
            if not timeout.expired():
                raise
            raise httpx.ReadTimeout("no response in time") from None
        except (ProxyUrlError, CertificatesError) as error:
            raise EnvironmentInvalidError(str(error)) from error
        except ThreadsExhaustedError as error:
            raise NoThreadError(str(error)) from error
        except (httpx.TransportError, RuntimeError):
            if self.is_closed:  # meanwhile
                raise ClientClosedError("the client was closed") from None
            raise
        finally:
            request.extensions.pop("trace", None)  # a cycle, by the deadline, its task and the response
            del request  # its repr shows the URL, and tools that print tracebacks show variables

    async def aclose(self) -> None:
        """Close the client, if it is ours. Requests in progress fail."""
        self._is_closed = True
        self._closing.close()
        if self._owned:
            await self._client.aclose()


def open_client(options: HttpOptions, proxies: ProxyRules, environ: Mapping[str, str]) -> HttpClient:
    """Return the client of the running event loop. Makes no request.

    Args:
        options: The user's options.
        proxies: The proxy rules.
        environ: Variables that name certificate authorities.
    """
    log_filter.install()
    if options.http_client is not None:
        return HttpClient(_adapted_client(options.http_client), owned=False, is_ours=False)
    given = options.transport
    mounted = _own_transport(options, proxies, environ) if given is None else _adapted_transport(given)
    client = _Client(transport=_HiddenRedirects(mounted), trust_env=False)
    return HttpClient(client, owned=True, is_ours=given is None)


def _own_transport(options: HttpOptions, proxies: ProxyRules, environ: Mapping[str, str]) -> RoutingTransport:
    def tls() -> ssl.SSLContext:
        return options.ssl_context or create_ssl_context(environ)

    return RoutingTransport(proxies, tls)


def _adapted_client(client: InjectedClient) -> httpx.AsyncClient | Httpx2Client:
    if isinstance(client, httpx.AsyncClient):
        return client
    from wbfiles_async._http.httpx2 import Httpx2Client  # if httpx2 is installed

    return Httpx2Client(client)


def _adapted_transport(transport: InjectedTransport) -> httpx.AsyncBaseTransport:
    if isinstance(transport, httpx.AsyncBaseTransport):
        return transport
    from wbfiles_async._http.httpx2 import Httpx2Transport  # if httpx2 is installed

    return Httpx2Transport(transport)


async def _restart_when_sent(deadline: asyncio.Timeout, seconds: float, event: str, _: object) -> None:
    """Use httpcore's extension ``trace`` to exclude the time to connect from that for the head."""
    if event.endswith("send_request_headers.started"):
        deadline.reschedule(asyncio.get_running_loop().time() + seconds)


def _reschedule(
    deadline: asyncio.Timeout, waits: dict[str, float], body: RequestBody, is_waiting: bool, *, may_stall: bool
) -> None:
    """Exclude the time to prepare a body's pieces from the deadline, and limit each wait for the network.

    Args:
        deadline: The deadline of its request.
        waits: The time-outs.
        body: The body.
        is_waiting: Whether it waits for the network from now on.
        may_stall: Whether the transport may fail to notice that the server accepts nothing.
    """
    seconds = waits["read"] if body.is_sent else waits["write"] if may_stall else None
    if not is_waiting or seconds is None:
        deadline.reschedule(None)
    else:
        deadline.reschedule(asyncio.get_running_loop().time() + seconds + SLACK_SECONDS)


class _NoCookies(httpx.Cookies):
    """Keeps nothing: signed URLs get no cookies, and looking for them takes a tenth of a small file's time."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Ignore cookies."""


class _Client(httpx.AsyncClient):
    """httpx's client, without cookies."""

    _none: ClassVar = _NoCookies()

    @property
    def cookies(self) -> httpx.Cookies:
        """No cookies."""
        return self._none

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise AttributeError("this client keeps no cookies")


class _HiddenRedirects(httpx.AsyncBaseTransport):
    """Hides a redirect's target from httpx, which parses it even without following, and fails on unusual ones.

    It is in ``response.extensions["location"]``.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._transport.handle_async_request(request)
        finally:
            del request  # see `HttpClient.send`
        if 300 <= response.status_code < 400 and (location := location_of(response)) is not None:
            response.extensions = {**response.extensions, "location": location}
            del response.headers["location"]
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


def location_of(response: httpx.Response) -> bytes | None:
    """Return the target of a redirect, exactly as it was sent; ``None`` if the response names none."""
    hidden: bytes | None = response.extensions.get("location")
    return hidden or next((value for name, value in response.headers.raw if name.lower() == b"location"), None)


@functools.lru_cache(maxsize=64)
def _origin_of(url: str) -> httpx.URL:
    return httpx.URL(url)


def _target_of(url: str) -> bytes:
    """Return path and query of a URL, unchanged; empty if it lacks a path."""
    rest = url.partition("://")[2]
    start = rest.find("/")
    return b"" if start < 0 or "#" in url or "?" in rest[:start] else rest[start:].encode("ascii")
