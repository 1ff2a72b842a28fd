"""What one client holds of one event loop: connections, threads, the limit on both, and what was learnt of hosts."""

from __future__ import annotations

import asyncio
import os
from functools import partial

import anyio
import attrs
import httpx

from wbfiles_async._auth import ApiKeyAuth, Authenticator, IdentityTokenAuth
from wbfiles_async._credentials import ApiKey, Credentials, refused_credentials
from wbfiles_async._protocol.rate import RateLimit
from wbfiles_async._protocol.urls import origin
from wbfiles_async._settings import Settings, TransferOptions
from wbfiles_async._transfer.disk import Disk
from wbfiles_async._transfer.engine import Engine
from wbfiles_async._transfer.exchange import Get, Send, Times, get_by
from wbfiles_async._transfer.network import PrivateStores
from wbfiles_async._transfer.origins import Origins
from wbfiles_async._transfer.transport import AiohttpTransport
from wbfiles_async.errors import AuthenticationError, ConfigurationError


@attrs.define(eq=False, kw_only=True)
class Session:
    """The shared means of one client in one event loop.

    Attributes:
        settings: Where the API is and who asks.
        options: How transfers behave.
        client: Speaks to the API.
        get: Asks a store.
        engine: Asks a store for many small files; ``None`` where an injected client or transport asks.
        credentials: Who asks, for messages; ``None`` where an injected client brings its own.
        authenticator: Gives the API's credentials; ``None`` where an injected client brings its own.
        disk: Threads for file work.
        connections: Places of the limiter; fewer than the options' where a rate limit leaves so many nothing to do.
        limiter: Simultaneous requests to the stores; files and parts share it.
        rate_limit: Keeps all connections to the stores together to a rate; ``None`` for no limit.
        api_origin: The only origin that ever receives our credentials.
        times: How long a request to a store waits.
        private_stores: Whether stores may lie at private addresses.
        origins: What was learnt of each store, and whose turn it is there.
        api_resumes_at: When the API's rate limit lets requests through again, in monotonic seconds.
        entity_lock: Held while the default entity is asked for.
    """

    settings: Settings
    options: TransferOptions
    client: httpx.AsyncClient
    get: Get
    credentials: Credentials | None
    authenticator: Authenticator | None
    disk: Disk
    connections: int
    limiter: anyio.Semaphore
    rate_limit: RateLimit | None
    api_origin: str
    times: Times
    private_stores: PrivateStores
    origins: Origins
    api_resumes_at: float = 0.0
    entity_lock: anyio.Lock = attrs.field(factory=anyio.Lock)
    engine: Engine | None
    _owns_client: bool = attrs.field(alias="owns_client")
    _process: int = attrs.field(factory=os.getpid)
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop)

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that made the session; it cannot be used here."""
        return self._process != os.getpid()

    def check_loop(self) -> None:
        """Raise ``ConfigurationError`` where another event loop runs than the one the session belongs to."""
        if self._loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                "This AsyncApi was first used in another event loop, and its connections belong to that one. "
                "Make one AsyncApi for each loop (`async with AsyncApi() as api` inside it), or use the blocking Api."
            )

    @property
    def unreachable(self) -> frozenset[str]:
        """Origins that are not asked while another way is left."""
        return self.origins.avoided

    @property
    def unranged(self) -> frozenset[str]:
        """Origins that do not serve ranges properly."""
        return self.origins.unranged

    def refused(self) -> AuthenticationError | None:
        """Give the error for credentials that the server did not accept, where they are ours."""
        if self.credentials is None:
            return None
        return refused_credentials(self.credentials, self.settings.base_url)

    async def aclose(self) -> None:
        """Close what is ours."""
        if self.engine is not None:
            self.engine.close()
        if self._owns_client:
            await self.client.aclose()
        self.disk.close()


SLOWEST = 256 << 10
"""Bytes a second that a connection must be left of a rate limit: stores drop one that takes too little."""


def closed_client() -> ConfigurationError:
    """Say that the client was closed before its work was done."""
    return ConfigurationError("This client is closed. Make a new one, or close it later.")


def open_session(
    settings: Settings,
    options: TransferOptions,
    credentials: Credentials | None,
    *,
    http_client: httpx.AsyncClient | None,
    transport: httpx.AsyncBaseTransport | None,
) -> Session:
    """Make the session of the running event loop. Makes no request.

    Args:
        settings: Where the API is and who asks.
        options: How transfers behave.
        credentials: ``None`` where an injected client brings its own.
        http_client: Used for everything if given, and never closed by the session.
        transport: Used in place of our own if given.
    """
    disk = Disk()
    send: Send
    engine: Engine | None = None
    private_stores = PrivateStores(True)  # what is injected connects by its own rules
    if http_client is not None:
        client = http_client
        send = partial(client.send, stream=True, auth=None, follow_redirects=False)
        get = get_by(send)
    else:
        # Stores are asked below the client: faster, and nothing of it (cookies, auth) can reach them.
        carrier = transport or AiohttpTransport(disk)
        client = httpx.AsyncClient(transport=carrier, trust_env=False)
        send = carrier.handle_async_request
        if isinstance(carrier, AiohttpTransport):
            engine = Engine(carrier)
            get = engine.get
            if not options.private_stores:
                private_stores = PrivateStores.of_server(settings.base_url, carrier.proxies)
        else:
            get = get_by(send)
    authenticator: Authenticator | None
    match credentials:
        case None:
            authenticator = None
        case ApiKey():
            authenticator = ApiKeyAuth(credentials)
        case _:
            authenticator = IdentityTokenAuth(credentials, settings, send)
    connections = _connections(options)
    limiter = anyio.Semaphore(connections, fast_acquire=True)
    return Session(
        settings=settings,
        options=options,
        client=client,
        get=get,
        credentials=credentials,
        authenticator=authenticator,
        disk=disk,
        connections=connections,
        limiter=limiter,
        private_stores=private_stores,
        origins=Origins(options, limiter),
        rate_limit=None if options.limit_rate is None else RateLimit(options.limit_rate),
        api_origin=origin(settings.base_url),
        times=Times(options.connect_timeout, options.stall_seconds),
        engine=engine,
        owns_client=http_client is None,
    )


def _connections(options: TransferOptions) -> int:
    """Tell how many connections the options give something to do."""
    if options.limit_rate is None:
        return options.connections
    return max(1, min(options.connections, int(options.limit_rate) // SLOWEST))
