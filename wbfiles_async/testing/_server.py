"""`LocalServer`: starting, stopping, adding files, and the log of requests. Other modules determine its responses."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs
from aiohttp import hdrs, web

from wbfiles_async.testing._access import Access
from wbfiles_async.testing._api import Api, GraphQLResponse
from wbfiles_async.testing._digests import Digests
from wbfiles_async.testing._hosts import Hosts
from wbfiles_async.testing._names import parse_run
from wbfiles_async.testing._records import RunRecords
from wbfiles_async.testing._requests import RecordedRequest, RequestLog
from wbfiles_async.testing._signatures import Signatures
from wbfiles_async.testing._site import Site
from wbfiles_async.testing._store import Store
from wbfiles_async.testing._thread import Service, ServiceThread
from wbfiles_async.testing._tree import Tree

_FAKE_KEY = "fake" * 10
"""Forty characters, as W&B's clients require."""


@attrs.frozen
class _Running:
    thread: ServiceThread
    base_url: str
    store_url: str


class LocalServer:
    """A W&B-compatible server over a folder, ``ROOT/<entity>/<project>/<run>/<files>``, in its own thread.

    It responds to GraphQL queries about runs and their files, redirects ``/files/...`` to signed, expiring URLs, serves
    and accepts the files there, and lets ``wandb`` log runs. Files can be added to the folder and changed by any means,
    at any time. ``ROOT/.wbfiles`` belongs to the server. Symbolic links below the root are neither followed nor listed.

    Use it in a ``with`` or ``async with`` statement.

    Args:
        root: The folder, created if it is missing.
        api_key: The only key that is accepted; by default one that no real server accepts.
        host: The address to listen on. Anyone who can reach it and has the key can write below the root.
        port: The port of the API; 0 for a free one.
        store_port: The port of the store; 0 for a free one. The store has its own origin, as W&B's buckets do:
            ``wandb`` sends the key to everything on the API's origin, and a signed URL refuses it.
        entity: The default entity, and the name of the one user.
        url_lifetime: Seconds that a signed URL is valid.
        token_lifetime: Seconds that an access token from ``/oidc/token`` is valid; it is issued for ``identity_token``,
            or any other JWT that is signed with the key.
        allowed_hosts: Host names of requests to accept, besides ``localhost``, ``host``, every IP address, and this
            machine's name if it listens for others. Other names get the status 421, against DNS rebinding by web pages.
        told_of_uploads: Whether an uploaded file appears only when the server is notified, by ``markRunFilesUploaded``
            or by a run that is being logged, as with some self-hosted servers. By default it appears immediately, as in
            W&B's cloud, which is notified by its store.
        remembered_requests: Number of the latest requests that ``requests`` returns; 0 for none.
        clock: Returns the time by which URLs and tokens expire, in seconds since the epoch.

    Examples:
        ```python
        from wbfiles_async import Api
        from wbfiles_async.testing import LocalServer

        with LocalServer("served") as server:
            server.add_file("team/project/run1", "config.yaml", b"learning_rate: 0.1")
            api = Api(base_url=server.base_url, api_key=server.api_key)
            print(api.run("team/project/run1").file("config.yaml").read_text())
        ```
    """

    def __init__(
        self,
        root: str | Path,
        *,
        api_key: str = _FAKE_KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        store_port: int = 0,
        entity: str = "local",
        url_lifetime: int = 3600,
        token_lifetime: int = 3600,
        allowed_hosts: Iterable[str] = (),
        told_of_uploads: bool = False,
        remembered_requests: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.root = Path(root)
        self.api_key = api_key
        self.entity = entity
        self._host, self._port, self._store_port = host, port, store_port
        self._tree = Tree(self.root, told_of_uploads=told_of_uploads)
        self._records = RunRecords(self._tree.private / "runs")
        secret = secrets.token_bytes(32)
        self._signatures = Signatures(secret, url_lifetime, clock)
        self._access = Access(api_key, secret, token_lifetime, clock)
        own_name = () if _is_loopback(host) else (socket.gethostname(),)
        self._hosts = Hosts((host, *own_name, *allowed_hosts))
        self._log = RequestLog(remembered_requests)
        self._running: _Running | None = None

    def __repr__(self) -> str:
        where = self.base_url if self._running else "not running"
        return f"<LocalServer {str(self.root)!r} {where}>"

    @property
    def base_url(self) -> str:
        """The URL of the API.

        Raises:
            RuntimeError: The server is not running.
        """
        return self._expect_running().base_url

    @property
    def identity_token(self) -> str:
        """An identity token (a JWT) that the server exchanges for access tokens, for ``WANDB_IDENTITY_TOKEN_FILE``."""
        return self._access.identity_token(self.entity)

    @property
    def store_url(self) -> str:
        """The origin of the store's signed URLs.

        Raises:
            RuntimeError: The server is not running.
        """
        return self._expect_running().store_url

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """The latest requests, oldest first; each is added before the first byte of its response is sent."""
        return self._log.snapshot()

    def clear_requests(self) -> None:
        """Clear ``requests``."""
        self._log.clear()

    def add_run(self, path: str) -> Path:
        """Create a run's folder if it does not exist.

        Args:
            path: ``entity/project/run_id``.

        Returns:
            The folder.
        """
        return self._tree.create_run(parse_run(path))

    def add_file(self, run: str, name: str, data: bytes) -> Path:
        """Write a file of a run, replacing one of that name; creates the run if it does not exist.

        Args:
            run: ``entity/project/run_id``.
            name: The file's name in the run, with ``/`` between folders.
            data: Its content.

        Returns:
            The path of the file.
        """
        temporary = self._tree.temporary()
        temporary.write_bytes(data)
        try:
            return self._tree.publish(temporary, parse_run(run), name)
        finally:
            temporary.unlink(missing_ok=True)

    def start(self) -> Self:
        """Start the server; return the server itself.

        Raises:
            RuntimeError: It is running already.
            OSError: It cannot listen on the address.
        """
        if self._running is not None:
            raise RuntimeError("LocalServer is running already")
        services = self._services()
        self._running = _Running(ServiceThread(services), *(service.origin for service in services))
        return self

    def close(self) -> None:
        """Stop immediately and abort requests in progress. No thread is left afterwards."""
        running, self._running = self._running, None
        if running is not None:
            running.thread.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _expect_running(self) -> _Running:
        if self._running is None:
            raise RuntimeError("LocalServer is not running: use it in a with statement, or call start()")
        return self._running

    def _services(self) -> tuple[Service, Service]:
        api_listener = _listen(self._host, self._port)
        try:
            store_listener = _listen(self._host, self._store_port)
        except OSError:
            api_listener.close()
            raise
        site = Site(self._tree, self._records, Digests(), self._signatures, self.entity)
        api = Api(site, self._access, store_port=store_listener.getsockname()[1]).app()
        store = Store(site).app()
        for app in (api, store):
            app.middlewares.append(self._hosts.middleware())
            app.on_response_prepare.append(self._record)
        return Service(api, api_listener), Service(store, store_listener)

    async def _record(self, request: web.Request, response: web.StreamResponse) -> None:
        self._log.add(
            RecordedRequest(
                method=request.method,
                path=request.path,
                status=response.status,
                operation=response.operation if isinstance(response, GraphQLResponse) else "",
                range=request.headers.get(hdrs.RANGE),
                if_match=request.headers.get(hdrs.IF_MATCH),
                if_range=request.headers.get(hdrs.IF_RANGE),
                authorized=hdrs.AUTHORIZATION in request.headers,
                user_agent=request.headers.get(hdrs.USER_AGENT),
            )
        )


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)
