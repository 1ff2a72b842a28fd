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
from wbfiles_async._protocol.urls import origin
from wbfiles_async._settings import Settings, TransferOptions
from wbfiles_async._transfer.disk import Disk
from wbfiles_async._transfer.engine import Engine
from wbfiles_async._transfer.exchange import Get, Send, Times, get_by
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
        credentials: Who asks, for messages; ``None`` where an injected client brings its own.
        authenticator: Gives the API's credentials; ``None`` where an injected client brings its own.
        disk: Threads for file work.
        limiter: Simultaneous requests to the stores; files and parts share it.
        api_origin: The only origin that ever receives our credentials.
        times: How long a request to a store waits.
        unreachable: Origins that could not be connected to while another way was left.
        unranged: Origins that do not serve ranges properly.
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
    limiter: anyio.Semaphore
    api_origin: str
    times: Times
    unreachable: set[str] = attrs.field(factory=set)
    unranged: set[str] = attrs.field(factory=set)
    api_resumes_at: float = 0.0
    entity_lock: anyio.Lock = attrs.field(factory=anyio.Lock)
    _engine: Engine | None = attrs.field(alias="engine")
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

    def refused(self) -> AuthenticationError | None:
        """Give the error for credentials that the server did not accept, where they are ours."""
        if self.credentials is None:
            return None
        return refused_credentials(self.credentials, self.settings.base_url)

    async def aclose(self) -> None:
        """Close what is ours."""
        if self._engine is not None:
            await self._engine.aclose()
        if self._owns_client:
            await self.client.aclose()
        self.disk.close()


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
    return Session(
        settings=settings,
        options=options,
        client=client,
        get=get,
        credentials=credentials,
        authenticator=authenticator,
        disk=disk,
        limiter=anyio.Semaphore(options.connections, fast_acquire=True),
        api_origin=origin(settings.base_url),
        times=Times(options.connect_timeout, options.stall_seconds),
        engine=engine,
        owns_client=http_client is None,
    )
