"""An httpx transport whose responses can be drained in worker threads.

Speaks HTTP/1.1, directly or through an http proxy. Knows no retries, redirects, cookies or credentials. Does not
limit the number of connections.

httpx's own transport is not used: under concurrency it takes six times the processor time per request, copies a body
several times, and a cancelled request can occupy a place in its pool forever.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import attrs
import httpx

from wbfiles_async._http.address_policy import AddressPolicy
from wbfiles_async._http.batch import ConnectionBatch
from wbfiles_async._http.batch_worker import BatchWorker
from wbfiles_async._http.body import RequestBody
from wbfiles_async._http.connect import DEFAULT_PORTS, Connector, Origin
from wbfiles_async._http.connection import Connection
from wbfiles_async._http.errors import NoThreadError, StaleConnectionError
from wbfiles_async._http.exchange import LARGE_BUFFER, Exchange
from wbfiles_async._http.extensions import BatchEnd, NextFollowUp, Sink, StallLimit
from wbfiles_async._http.http1 import ResponseHead, request_head
from wbfiles_async._http.pool import ConnectionPool
from wbfiles_async._http.proxies import Proxy
from wbfiles_async._http.receiver import BodyReceiver
from wbfiles_async._http.sender import RequestSender
from wbfiles_async._http.sink_threads import SinkThreads
from wbfiles_async._threads import ThreadsExhaustedError, WorkerThreads

__all__ = ["DrainingTransport"]

BATCH_WORKERS: Final = 2
"""Threads for small bodies: most of the work on one of a hundred kilobytes, its md5 and its writing, is done without
Python's lock. More of them were slower again."""

LIGHT_BYTES: Final = 64 << 10
"""Maximum bytes of bodies that share one thread: two would spend more time on Python's lock than on the bytes."""

LARGE_BYTES: Final = 1 << 20
"""Bytes above which a body has its own thread."""

DEFAULT_TIMEOUT: Final = 60.0
"""Default timeout in seconds."""

_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT"})
"""Methods of requests that are sent again if a kept connection turns out to be closed; a body is iterated once more."""


class DrainingTransport(httpx.AsyncBaseTransport):
    """Sends requests over its own connections; belongs to one event loop.

    Its responses have a drain; see `extensions`. It supports five extensions of a request besides httpx's
    ``timeout`` and ``target``: ``proxy`` (the http proxy), ``public_only`` (connect only to public addresses),
    ``least_bytes`` (that the server must accept of the body in each window of the timeout for writing),
    ``on_round_trip`` (called with the round-trip time in seconds after connecting), and ``piece_bytes`` (maximum bytes
    of a piece of a body that is not drained). A `RequestBody` with blocks is sent by a thread.

    Args:
        tls: Returns the context that verifies servers' certificates. Called in a worker thread, at first use.

    Attributes:
        threads: The threads for blocking work.
    """

    def __init__(self, tls: Callable[[], ssl.SSLContext]) -> None:
        self.threads = WorkerThreads("wbfiles-http")
        sinks = SinkThreads(self.threads)
        self._workers = [BatchWorker(sinks) for _ in range(BATCH_WORKERS)]
        self._pool = ConnectionPool()
        self._connector = Connector(self.threads, tls, self._pool.close_idle)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the response's body is received as it is iterated, or drained.

        Raises:
            httpx.TransportError: As with httpx's own transport; the subclass states what failed.
            ValueError: The environment's certificate authorities cannot be used.
        """
        origin = _origin_of(request.url)
        proxy = request.extensions.get("proxy")
        exchange, head = await self._request_head(request, origin, proxy)
        body = _Body(self, _pool_key(origin, proxy), exchange, head, request)
        return body.response()

    async def _request_head(
        self, request: httpx.Request, origin: Origin, proxy: Proxy | None
    ) -> tuple[Exchange, ResponseHead]:
        """Send the request, and receive the response's head."""
        method = request.method.encode("ascii")
        while True:
            connection = self._pool.take(_pool_key(origin, proxy)) or await self._connect(request, origin, proxy)
            try:
                exchange = Exchange(connection, _timeout_of(request, "read"), _timeout_of(request, "write"))
                is_sent = await self._send_request(request, exchange)
                head = await exchange.receive_head(method)
                if connection.is_new:
                    self._connector.keep_session(origin, proxy, connection)
                return exchange, head if is_sent else attrs.evolve(head, keep_alive=False)
            except StaleConnectionError:
                connection.close()
                if request.method not in _REPEATABLE:
                    raise httpx.RemoteProtocolError("the server closed the connection without a response") from None
            except BaseException:
                connection.close()
                raise

    async def _send_request(self, request: httpx.Request, exchange: Exchange) -> bool:
        """Send the request, in its own thread if the body supports that; return whether all of it was sent."""
        head, least = _head_of(request, exchange.connection), request.extensions.get("least_bytes", 1)
        body = request.stream
        if isinstance(body, RequestBody) and body.blocks is not None:
            limit = StallLimit(_timeout_of(request, "write"), least)
            with suppress(ThreadsExhaustedError), body.sent_in_thread() as on_sent:  # else the loop sends it
                sender = RequestSender(exchange.connection, head, body.blocks, limit, on_sent)
                return await self.threads.run(sender.run, interrupt=sender.interrupt)
        stream, chunked = await _body_of(request)
        return await exchange.send(head, stream, chunked=chunked, least=least)

    async def _connect(self, request: httpx.Request, origin: Origin, proxy: Proxy | None) -> Connection:
        connection = await self._connector.connect(
            origin,
            proxy=proxy,
            policy=AddressPolicy(allow_private=not request.extensions.get("public_only", False)),
            timeout=_timeout_of(request, "connect"),
            read_timeout=_timeout_of(request, "read"),
            on_round_trip=request.extensions.get("on_round_trip"),
        )
        self._pool.register(connection)
        return connection

    def begin(self, batch: ConnectionBatch, length: int) -> None:
        """Receive a batch in the thread for its first body's size."""
        light = length <= LIGHT_BYTES
        worker = self._workers[0] if light else min(self._workers, key=lambda worker: worker.batches)
        worker.begin(batch)

    def release(self, key: str, connection: Connection, *, keep: bool) -> None:
        """Keep a connection for further requests, or close it."""
        if keep and connection.is_idle:
            self._pool.put(key, connection)
        else:
            connection.close()

    async def aclose(self) -> None:
        """Close all connections; transfers in progress fail."""
        self._pool.close()
        self.threads.close()
        for worker in self._workers:
            worker.close()


@attrs.define(eq=False)
class _Body(httpx.AsyncByteStream):
    """The unread body of a response."""

    _transport: DrainingTransport
    _key: str
    _exchange: Exchange
    _head: ResponseHead
    _request: httpx.Request
    _is_drained: bool = attrs.field(default=False, init=False)

    def response(self) -> httpx.Response:
        """Return the response that it belongs to."""
        head = self._head
        extensions: dict[str, object] = {"http_version": b"HTTP/1.1", "reason_phrase": head.reason}
        extensions["answer_seconds"] = self._exchange.answer_seconds
        if head.length:
            extensions["drain"] = self.drain
        return httpx.Response(head.status, headers=head.fields, stream=self, extensions=extensions)

    def __aiter__(self) -> AsyncIterator[bytes]:
        # Pieces may be views of the connection's buffer: httpx passes them on unchanged.
        most = self._request.extensions.get("piece_bytes", LARGE_BUFFER)
        return self._exchange.body(self._head, most)  # type: ignore[return-value]

    async def aclose(self) -> None:
        if not self._is_drained:
            self._is_drained = True
            self._transport.release(self._key, self._exchange.connection, keep=self._head.keep_alive)

    async def drain(
        self,
        sink: Sink,
        stall: StallLimit,
        *,
        next_follow_up: NextFollowUp | None = None,
        on_completed: Callable[[int], None] | None = None,
    ) -> BatchEnd:
        """See `extensions.Drain`."""
        connection, length = self._exchange.connection, self._head.length or 0
        self._is_drained = True
        try:
            if next_follow_up is None or length > LARGE_BYTES:
                return await self._drain_alone(sink, stall)
            batch = ConnectionBatch(
                connection=connection,
                head=self._head,
                sink=sink,
                limit=stall,
                connect_timeout=_timeout_of(self._request, "connect"),
                read_timeout=_timeout_of(self._request, "read"),
                request=_FollowUpHeads(self._request, connection),
                next_follow_up=next_follow_up,
                on_completed=on_completed,
            )
            try:
                self._transport.begin(batch, length)
            except (ThreadsExhaustedError, OSError):  # another thread, or the event loop's, may still do it
                return await self._drain_alone(sink, stall)
            await batch.wait()
        except BaseException as error:
            connection.close()
            if isinstance(error, ThreadsExhaustedError):
                raise NoThreadError(str(error)) from error
            raise
        return self._end_of(batch)

    async def _drain_alone(self, sink: Sink, stall: StallLimit) -> BatchEnd:
        """Receive the body in its own thread, without follow-ups."""
        connection = self._exchange.connection
        receiver = BodyReceiver(connection, self._head.length or 0, sink, stall)
        await self._transport.threads.run(receiver.run, interrupt=receiver.interrupt)
        self._transport.release(self._key, connection, keep=self._head.keep_alive)
        return BatchEnd()

    def _end_of(self, batch: ConnectionBatch) -> BatchEnd:
        connection = batch.connection
        if batch.is_unexpected and batch.failure is None and batch.head is not None:
            exchange = Exchange(connection, _timeout_of(self._request, "read"))
            rest = _Body(self._transport, self._key, exchange, batch.head, self._request)
            return BatchEnd(batch.unfinished, rest.response())
        self._transport.release(self._key, connection, keep=batch.failure is None and batch.keeps_alive)
        if batch.failure is not None and batch.broke_off:
            raise batch.failure
        return BatchEnd(batch.unfinished, None, batch.failure)


class _FollowUpHeads:
    """Returns the heads of follow-ups: those of a request with another target."""

    def __init__(self, request: httpx.Request, connection: Connection) -> None:
        whole = _head_of(request, connection)
        self._fields = whole[whole.index(b"\r\n") :].decode("latin-1")
        self._prefix = connection.target_prefix.decode("ascii")

    def __call__(self, target: str) -> bytes:
        return f"GET {self._prefix}{target} HTTP/1.1{self._fields}".encode("latin-1")


def _origin_of(url: httpx.URL) -> Origin:
    port = url.port
    scheme = url.scheme
    if scheme not in DEFAULT_PORTS or not url.raw_host or port == 0:
        raise httpx.UnsupportedProtocol("not a URL that can be fetched")
    return Origin(scheme, url.raw_host.decode("ascii"), port or DEFAULT_PORTS[scheme])


def _pool_key(origin: Origin, proxy: Proxy | None) -> str:
    key = f"{origin.scheme}://{origin.host}:{origin.port}"
    return key if proxy is None else f"{key} by {proxy}"


def _timeout_of(request: httpx.Request, kind: str) -> float:
    seconds = request.extensions.get("timeout", {}).get(kind)
    return DEFAULT_TIMEOUT if seconds is None else seconds


def _head_of(request: httpx.Request, connection: Connection) -> bytes:
    target = request.extensions.get("target") or request.url.raw_path
    fields = [*request.headers.raw, *connection.extra_fields]
    try:
        return request_head(request.method.encode("ascii"), connection.target_prefix + target, fields)
    except ValueError as error:
        raise httpx.LocalProtocolError(str(error)) from None


async def _body_of(request: httpx.Request) -> tuple[AsyncIterator[bytes | memoryview] | None, bool]:
    """Return the request's body, and whether it is sent in chunks."""
    if request.headers.get("content-length") == "0" or not isinstance(request.stream, httpx.AsyncByteStream):
        return None, False
    chunked = request.headers.get("transfer-encoding", "").lower() == "chunked"
    if not chunked and "content-length" not in request.headers:
        return None, False
    return aiter(request.stream), chunked
