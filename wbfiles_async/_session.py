"""The parts of one client in one event loop: HTTP client, threads, and limits, wired together once."""

from __future__ import annotations

import asyncio
import os
import sys

import anyio
import attrs
import httpx

from wbfiles_async._auth.authenticators import ApiKeyAuth, Authenticator, IdentityTokenAuth
from wbfiles_async._auth.credentials import ApiKey, Credentials, refused_credentials
from wbfiles_async._clock import Clock
from wbfiles_async._disk.executor import Disk
from wbfiles_async._download.small_files import SmallFiles
from wbfiles_async._graphql.client import GraphQLClient
from wbfiles_async._http.client import HttpClient, HttpOptions, open_client
from wbfiles_async._http.proxies import ProxyRules, ProxyUrlError
from wbfiles_async._http.system_proxies import read_proxies
from wbfiles_async._options import ADAPTIVE, TransferOptions
from wbfiles_async._rate_limit import SLOWEST, RateLimit
from wbfiles_async._settings import Settings
from wbfiles_async._store.limits import StoreLimits
from wbfiles_async._store.private_stores import PrivateStores
from wbfiles_async._store.reader import StoreReader
from wbfiles_async._store.request import Requester
from wbfiles_async._store.writer import StoreWriter
from wbfiles_async._urls import origin
from wbfiles_async.errors import ConfigurationError

__all__ = ["Session", "open_session"]

MOST: int = 128
"""Default maximum of connections. A store with a latency of 50 ms then delivers 2,500 small files per second, as
many as one Python process can handle; no store objects to this number."""

FILES_LIMIT: int = 1024
"""Default limit of open files if the system reports none."""


@attrs.define(eq=False, kw_only=True)
class Session:
    """The parts of one client in one event loop.

    Attributes:
        http: Sends every request.
        graphql: Queries the API.
        reader: Reads files from their stores.
        writer: Writes files to their stores.
        small_files: Downloads small files that are requested one by one.
        disk: Threads for file work.
        authenticator: Provides credentials; ``None`` if an injected client has them.
        is_shared: Whether HTTP client and threads belong to another session, which closes them.
    """

    http: HttpClient
    graphql: GraphQLClient
    reader: StoreReader
    writer: StoreWriter
    small_files: SmallFiles
    disk: Disk
    authenticator: Authenticator | None
    is_shared: bool = False
    _process: int = attrs.field(factory=os.getpid, init=False)
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)

    @property
    def limits(self) -> StoreLimits:
        """The limits of each origin."""
        return self.reader.requester.limits

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that opened the session, which cannot be used here."""
        return self._process != os.getpid()

    def check_loop(self) -> None:
        """Raise ``ConfigurationError`` if another event loop runs than the one the session belongs to."""
        if self._loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                "This AsyncApi was first used in another event loop, and its connections belong to that one. "
                "Make one AsyncApi for each loop (`async with AsyncApi() as api` inside it), or use the blocking Api."
            )

    async def aclose(self) -> None:
        """Close our parts. Transfers in progress fail, unless the HTTP client is another session's."""
        if not self.is_shared:
            await self.http.aclose()
        if self.http.is_closed:
            await self.small_files.aclose()
        if not self.is_shared:
            self.disk.close()


def open_session(
    settings: Settings,
    options: TransferOptions,
    credentials: Credentials | None,
    *,
    http_options: HttpOptions,
    clock: Clock,
    shared: Session | None = None,
) -> Session:
    """Open the session of the running event loop. Makes no request.

    Args:
        settings: Where the API is, and the defaults of run paths.
        options: How transfers behave.
        credentials: ``None`` if an injected client brings its own.
        http_options: How requests are sent.
        clock: The time.
        shared: A session whose http client, threads and credentials this one uses, and leaves open.
    """
    proxies = read_proxies(os.environ) if http_options.proxies is None else http_options.proxies
    if shared is None:
        disk, http = Disk(), open_client(http_options, proxies, os.environ)
        authenticator = _authenticator(credentials, settings, http, clock)
    else:
        disk, http, authenticator = shared.disk, shared.http, shared.authenticator
    refused = None if credentials is None else refused_credentials(credentials, settings.base_url)
    limiter = anyio.Semaphore(_connections(options), fast_acquire=True)
    requester = Requester(
        http=http,
        authenticator=authenticator,
        refused=refused,
        api_origin=origin(settings.base_url),
        user_agent=settings.user_agent,
        options=options,
        private_stores=_private_stores(settings, options, http, proxies),
        limits=StoreLimits(options, limiter, clock),
        clock=clock,
    )
    rate_limit = None if options.limit_rate is None else RateLimit(options.limit_rate)
    reader = StoreReader(requester=requester, disk=disk, options=options, rate_limit=rate_limit, clock=clock)
    writer = StoreWriter(requester=requester, rate_limit=rate_limit, clock=clock)
    graphql = GraphQLClient(
        http=http,
        authenticator=authenticator,
        refused=refused,
        settings=settings,
        options=options,
        disk=disk,
        clock=clock,
        rate_limit=None if options.api_requests is None else RateLimit(options.api_requests),
    )
    return Session(
        http=http,
        graphql=graphql,
        reader=reader,
        writer=writer,
        small_files=SmallFiles(reader),
        disk=disk,
        authenticator=authenticator,
        is_shared=shared is not None,
    )


def _authenticator(
    credentials: Credentials | None, settings: Settings, http: HttpClient, clock: Clock
) -> Authenticator | None:
    match credentials:
        case None:
            return None
        case ApiKey():
            return ApiKeyAuth(credentials)
        case _:
            return IdentityTokenAuth(credentials, settings, http.send, clock)


def _private_stores(
    settings: Settings, options: TransferOptions, http: HttpClient, proxies: ProxyRules
) -> PrivateStores:
    """Return whether stores may have private addresses; injected clients and transports have their own rules."""
    if options.private_stores or not http.is_ours:
        return PrivateStores(allowed=True)
    url = httpx.URL(settings.base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        behind_proxy = proxies.choose(url.scheme, url.host, port) is not None
    except ProxyUrlError as error:
        raise ConfigurationError(str(error)) from None
    return PrivateStores.of_server(settings.base_url, behind_proxy=behind_proxy)


def _connections(options: TransferOptions) -> int:
    """Return the maximum of connections by the options, the process and the rate limit."""
    stated = options.connections
    most = max(1, min(MOST, _open_files_limit() // 4)) if stated == ADAPTIVE else int(stated)
    if options.limit_rate is None:
        return most
    return max(1, min(most, int(options.limit_rate) // SLOWEST))


def _open_files_limit() -> int:
    """Return the limit of open files of this process."""
    if sys.platform == "win32":
        return FILES_LIMIT
    try:
        limit = os.sysconf("SC_OPEN_MAX")
    except (AttributeError, ValueError, OSError):  # if it is forbidden
        return FILES_LIMIT
    return limit if limit > 0 else FILES_LIMIT
