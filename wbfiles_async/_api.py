"""The client: who asks, where, and how."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wbfiles_async._credentials import find_credentials, missing_credentials
from wbfiles_async._protocol.run_paths import parse_run_path
from wbfiles_async._run import AsyncRun
from wbfiles_async._settings import TransferOptions, load_settings

if TYPE_CHECKING:
    import httpx


class AsyncApi:
    """A client of W&B for one event loop. Use it as an async context manager, or call ``aclose``.

    Nothing is shared between two clients: different keys, servers and limits live side by side. Settings and
    credentials are read here, from the arguments, the environment, W&B's settings files and netrc; no request is
    made before one is needed.

    Args:
        overrides: Settings by name, as for ``wandb.Api``: ``base_url``, ``entity``, ``project``.
        timeout: Seconds to wait for an answer of the API.
        api_key: W&B's API key; else ``WANDB_API_KEY``, an identity token, or netrc.
        base_url: Where the API is; else ``WANDB_BASE_URL`` or W&B's cloud.
        entity: User or team of paths that name none.
        project: Project of paths that name none.
        options: How transfers behave.
        http_client: Used for everything instead of our own, and never closed by us.
        transport: Used below our client instead of our own transport, such as a mock in tests.

    Raises:
        ConfigurationError: A setting cannot be used.
        AuthenticationError: No credentials were found; the message says where they were looked for.
    """

    def __init__(
        self,
        overrides: Mapping[str, str] | None = None,
        timeout: float | None = None,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        entity: str | None = None,
        project: str | None = None,
        options: TransferOptions | None = None,
        http_client: httpx.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        # Here and not above: httpx and its company take long to import, and only who makes a client needs them.
        from wbfiles_async._gateway import Gateway

        environ, home = os.environ, Path.home()
        settings = load_settings(
            overrides,
            timeout=timeout,
            base_url=base_url,
            entity=entity,
            project=project,
            environ=environ,
            home=home,
            folder=Path(),
        )
        credentials = find_credentials(api_key, base_url=settings.base_url, environ=environ, home=home)
        if credentials is None and http_client is None:
            raise missing_credentials(settings.base_url, environ, home)
        self._gateway = Gateway(
            settings, options or TransferOptions(), credentials, http_client=http_client, transport=transport
        )

    def __repr__(self) -> str:
        return f"<AsyncApi {self._gateway.settings.base_url}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("An AsyncApi holds credentials and connections and is not pickled; make one in each process.")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. An injected ``http_client`` stays open."""
        await self._gateway.aclose()

    @property
    def default_entity(self) -> str | None:
        """User or team of paths that name none; ``None`` until it is known."""
        return self._gateway.default_entity or None

    def run(self, path: str) -> AsyncRun:
        """Name a run. Makes no request.

        Args:
            path: ``entity/project/run_id``, ``entity/project/runs/run_id``, ``project/run_id``, ``run_id``, or the
                run's web address. Missing parts come from the settings, the entity else from the server.

        Raises:
            ConfigurationError: The path names no run.
        """
        settings = self._gateway.settings
        return AsyncRun(
            self,
            parse_run_path(path, base_url=settings.base_url, entity=settings.entity, project=settings.project),
        )
