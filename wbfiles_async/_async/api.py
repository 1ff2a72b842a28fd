"""The client."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from wbfiles_async._async.client import Client
from wbfiles_async._async.connecting import check_connecting, check_injected, proxy_rules
from wbfiles_async._async.files import check_existing, checked_report
from wbfiles_async._async.projects import AsyncProjects
from wbfiles_async._async.run import AsyncRun
from wbfiles_async._async.run_likes import HasPath, RunLike, path_text
from wbfiles_async._async.runs import AsyncRuns, parse_filters
from wbfiles_async._async.unsupported import API, HandlesFilesOnly
from wbfiles_async._auth.credentials import find_credentials, missing_credentials
from wbfiles_async._bucket.roots import read_root
from wbfiles_async._display.watching import watching_many
from wbfiles_async._download.layout import Layout
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.run_paths import parse_entity, parse_project_path, parse_run_path, possible_meanings
from wbfiles_async._graphql.runs_page import ListedRun
from wbfiles_async._models import Existing, FileAttributes, ProjectPath, RunPath
from wbfiles_async._options import LAYOUT, PROJECTS_PER_PAGE, RUNS_PER_PAGE, OptionChanges, TransferOptions, changed
from wbfiles_async._reports import DownloadReport, FileResult
from wbfiles_async._settings import home_folder, load_settings, with_timeout
from wbfiles_async.errors import ConfigurationError, RunNotFoundError

if TYPE_CHECKING:
    import ssl

    import httpx
    import httpx2
    from obstore.store import ObjectStore

    from wbfiles_async._download.progress import Progress


class AsyncApi(Client, HandlesFilesOnly):
    """A client of W&B for one event loop. Use it as an async context manager, or call ``aclose``.

    Two clients share nothing, so a program can use several keys, servers and limits. The constructor reads settings and
    credentials from the arguments, the environment, W&B's settings files and netrc, and makes no request.

    Args:
        overrides: Settings by name, as for ``wandb.Api``: ``base_url``, ``entity``, ``project``.
        timeout: Seconds to wait for a response of the API.
        api_key: W&B's API key. Defaults to ``WANDB_API_KEY``, an identity token, or netrc.
        base_url: URL of the API. Defaults to ``WANDB_BASE_URL``, else W&B's cloud.
        entity: User or team for paths without one.
        project: Project for paths without one.
        options: How transfers behave.
        http_client: A client of httpx or httpx2 for every request, instead of our own. It is never closed by us.
        transport: A transport of httpx or httpx2, instead of our own, such as a mock in tests.
        ssl_context: For certificates of servers, instead of the system's authorities and ``SSL_CERT_FILE``.
        proxy: URL of a proxy for every request, instead of ``HTTPS_PROXY`` and the like; ``""`` for none.

    Raises:
        ConfigurationError: A setting cannot be used.
        AuthenticationError: No credentials were found; the message lists where they are looked for.

    Examples:
        ```python
        from wbfiles_async import AsyncApi

        async with AsyncApi() as api:
            report = await api.run("my-team/my-project/1a2b3c4d").download("data")
            print(report)
        ```
    """

    _unsupported = API

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
        http_client: httpx.AsyncClient | httpx2.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | httpx2.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        # A lazy import: httpx takes long to load, and only a client needs it.
        from wbfiles_async._gateway import Gateway
        from wbfiles_async._http.client import HttpOptions

        check_injected(http_client, transport)
        check_connecting(ssl_context, proxy, injected=http_client is not None or transport is not None)
        environ, home = os.environ, home_folder()
        settings = load_settings(
            overrides,
            timeout=timeout,
            base_url=base_url,
            entity=entity,
            project=project,
            environ=environ,
            home=home,
            folder=Path(),
            own_client=http_client is None,
        )
        credentials = find_credentials(api_key, base_url=settings.base_url, environ=environ, home=home)
        if credentials is None and http_client is None:
            raise missing_credentials(settings.base_url, environ, home)
        http_options = HttpOptions(
            http_client=http_client,
            transport=transport,
            ssl_context=ssl_context,
            proxies=None if proxy is None else proxy_rules(proxy),
        )
        self._gateway = Gateway(settings, options or TransferOptions(), credentials, http_options)

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

    def with_options(self, *, timeout: float | None = None, **changes: Unpack[OptionChanges]) -> AsyncApi:
        """Return a client like this one with some options changed, over the same connections.

        It is closed together with this one. Each has its own limits of connections and rate.

        Args:
            timeout: Seconds to wait for a response of the API.
            changes: Fields of ``TransferOptions``, such as ``connections=4``, ``verify=False``, ``attempts=3``.

        Raises:
            ConfigurationError: There is no such option, or it cannot have this value.

        Examples:
            ```python
            impatient = api.with_options(timeout=5, attempts=2, time_budget=20)
            file = await impatient.run("my-team/my-project/1a2b3c4d").file("config.yaml")
            ```
        """
        other = object.__new__(type(self))
        settings = with_timeout(self._gateway.settings, timeout)
        other._gateway = self._gateway.with_options(settings, changed(self._gateway.options, changes))
        return other

    @property
    def default_entity(self) -> str | None:
        """User or team for paths without one; ``None`` until it is known."""
        return self._gateway.api.default_entity or None

    def run(self, path: RunLike) -> AsyncRun:
        """Return a run by its path. Makes no request.

        Args:
            path: ``entity/project/run_id``, ``entity/project/runs/run_id``, ``project/run_id``, ``run_id``, or the URL
                of the run's page. Missing parts come from the settings; a missing entity is the default one. Also a
                list of the parts, like ``run.path`` of ``wandb``, or a run of ``wandb`` or of this package, such as one
                that was pickled.

        Returns:
            The run, with this client.

        Raises:
            ConfigurationError: The path names no run.

        Examples:
            ```python
            run = api.run("my-team/my-project/1a2b3c4d")
            print(run.entity, run.project, run.id)
            ```
        """
        if isinstance(path, AsyncRun):
            return AsyncRun(self, path._path, path._listed)
        settings = self._gateway.settings
        return AsyncRun(
            self,
            parse_run_path(
                path_text(path), base_url=settings.base_url, entity=settings.entity, project=settings.project
            ),
        )

    def runs(
        self,
        path: str | Sequence[str] | None = None,
        filters: Mapping[str, object] | None = None,
        order: str = "+created_at",
        per_page: int = RUNS_PER_PAGE,
        include_sweeps: bool = False,
        lazy: bool = True,
    ) -> AsyncRuns:
        """Select runs of a project. Makes no request.

        Args:
            path: ``entity/project``, ``project``, the URL of the project's page, or a list of entity and project.
                Defaults to the project of the settings.
            filters: Only runs that meet these conditions, in W&B's form of MongoDB's query language, applied by the
                server: ``{"state": "finished", "config.lr": {"$gt": 0.1}}``.
            order: ``+`` or ``-`` and ``created_at``, ``heartbeat_at``, ``config.*.value`` or ``summary_metrics.*``.
            per_page: Runs to list in one request; fewer if the server refuses so many.
            include_sweeps: Accepted because ``wandb.Api`` has it; no effect, since sweeps are not read here.
            lazy: Accepted because ``wandb.Api`` has it; no effect, since neither config nor summary is read here.

        Returns:
            The runs, not listed yet.

        Raises:
            ConfigurationError: The path names no project, or a value cannot be used.

        Source:
            W&B's public API, ``Api.runs``, which documents the keys and operators of filters.

        Examples:
            ```python
            runs = api.runs("my-team/my-project", filters={"state": "finished"}, order="-created_at")
            async for run in runs:
                print(run.id, run.name, run.created_at)
            ```
        """
        if per_page < 1:
            raise ConfigurationError(f"per_page is the number of runs in one request, 1 or more, not {per_page}.")
        settings = self._gateway.settings
        named = None if path is None else path_text(path)
        project = parse_project_path(
            named, base_url=settings.base_url, entity=settings.entity, project=settings.project
        )
        return AsyncRuns(self, project, parse_filters(filters), order or "+created_at", per_page)

    def projects(self, entity: str | None = None, per_page: int = PROJECTS_PER_PAGE) -> AsyncProjects:
        """Select the projects of a user or team. Makes no request.

        Args:
            entity: The user or team. Defaults to that of the settings, or else to the default entity, which is then
                requested at first use.
            per_page: Projects to list in one request; fewer if the server refuses so many.

        Returns:
            The projects, not listed yet.

        Raises:
            ConfigurationError: The name cannot be that of a user or team, or a value cannot be used.

        Source:
            W&B's public API, ``Api.projects``.

        Examples:
            ```python
            async for project in api.projects("my-team"):
                print(project.name, await project.runs().count(), "runs")
            ```
        """
        if per_page < 1:
            raise ConfigurationError(f"per_page is the number of projects in one request, 1 or more, not {per_page}.")
        named = self._gateway.settings.entity or "" if entity is None else parse_entity(entity)
        return AsyncProjects(self, named, per_page)

    async def download(
        self,
        paths_or_runs: str | HasPath | AsyncRuns | Sequence[RunLike],
        root: str | os.PathLike[str] | ObjectStore = ".",
        *,
        layout: str = LAYOUT,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        existing: Existing = "verify",
        dry_run: bool = False,
        raise_on_error: bool = True,
        progress: Progress | bool | None = None,
        on_result: Callable[[FileResult], None] | None = None,
    ) -> DownloadReport:
        """Download the files of a project, or of one or more runs, by default each to ``root/run_id/name``.

        A path that ends with ``/`` or ``/runs``, or is the URL of a project's page, is a project; a path of three parts
        is a run. A path of two parts is ``project/run_id`` of the default entity if that run exists, else
        ``entity/project``; this needs a request. In a sequence all paths are those of runs.

        Downloads into an object store need no local disk; see ``AsyncFiles.download``.

        Args:
            paths_or_runs: The path of a project or of a run; a run; or several, each as ``run`` takes it.
            root: Local folder, created if it is missing; or a prefix in an object store, ``s3://bucket/prefix``,
                ``gs://...`` or ``az://...``, or a store of obstore (extra ``cloud``).
            layout: Folders below ``root`` for the files of each run, from ``{entity}``, ``{project}`` and ``{run}``,
                such as ``"{project}/{run}"``; ``""`` for none. Defaults to ``"{run}"``.
            include: Shell patterns for the file's name, ``*`` also matches ``/``; ``media/`` means the files of that
                folder. ``None`` (default) means all files, an empty list none. A single
                pattern, or plain names, are also evaluated by the server, which then lists little else.
            exclude: Shell patterns of names to leave out.
            existing: What to do with an existing file: ``verify``, keep it if size and md5 are right, else download it;
                ``keep`` it as it is; ``replace`` it; or count it as an ``error``.
            dry_run: Whether to only report what would be downloaded.
            raise_on_error: Whether to raise if files or runs failed, after the others are done.
            progress: Notified of the bytes as they arrive. ``True`` shows them, with rate, time left and the files in
                progress, if stderr is a terminal (which needs rich, extra ``cli``) or in a notebook; elsewhere it
                writes a line to stderr every ten seconds. The files are listed a second time for the total. Names are
                reported as ``run_id/name``.
            on_result: Called with each file's result, in the event loop's thread.

        Returns:
            The report; a run that does not exist is one of its failures.

        Raises:
            IncompleteDownloadError: Files failed, or runs could not be listed; it has the report.
            ConfigurationError: A path, a pattern, ``existing`` or ``layout`` cannot be used.
            RunNotFoundError: The project does not exist or is not visible, or a path of two parts names nothing.
            ApiError: The listing of a project's runs failed.

        Examples:
            ```python
            await api.download("my-team/my-project/", "data", include=["*.json"])  # a project
            await api.download(["my-team/my-project/1a2b3c4d"], "some", layout="{project}/{run}")  # these runs
            ```
        """
        check_existing(existing)
        selection, folders = Selection(include, exclude), Layout(layout)
        given = await self._named_by(path_text(paths_or_runs)) if isinstance(paths_or_runs, str) else paths_or_runs
        listed: Callable[[], AsyncGenerator[Sequence[ListedRun]]]
        sizes: Callable[[], AsyncGenerator[Sequence[ListedRun]]]
        if isinstance(given, AsyncRuns):
            listed = partial(given._listed, selection)
            sizes = partial(given._listed, selection, urls=False)
        else:
            several = [given] if isinstance(given, HasPath) else given
            paths = [self.run(run)._path for run in several]
            listed = partial(self._each, selection, paths)
            sizes = partial(self._each, selection, paths, urls=False)

        async def files() -> AsyncGenerator[Sequence[FileAttributes]]:
            api = self._gateway.api
            found = api.files_of_runs(sizes(), names=selection.names, pattern=selection.pattern, urls=False)
            async with aclosing(found) as pages:
                async for _, of_run in pages:
                    yield of_run

        async with watching_many(None if dry_run else progress, on_result, files, selection) as (reporter, note):
            report = await self._gateway.download_many(
                listed(),
                read_root(root),
                layout=folders,
                selection=selection,
                existing=existing,
                dry_run=dry_run,
                progress=reporter,
                on_result=note,
            )
        return checked_report(report, existing, raise_on_error=raise_on_error)

    async def _named_by(self, path: str) -> AsyncRun | AsyncRuns:
        """Determine what a path names; a request is sent if it could be a run or a project.

        Raises:
            ConfigurationError: It can name neither.
            RunNotFoundError: It could name both, and neither exists.
        """
        settings = self._gateway.settings
        meanings = possible_meanings(path, base_url=settings.base_url, entity=settings.entity, project=settings.project)
        match meanings:
            case (RunPath() as run, ProjectPath()) if not await self._exists(run):
                runs = self.runs(path)
                try:
                    await runs.count()
                except RunNotFoundError:
                    raise RunNotFoundError(
                        f"{path!r} not found: it is neither a run (project/run_id) nor a project (entity/project), or "
                        "these credentials may not see it. Give entity/project/run_id for a run.",
                        run=path,
                    ) from None
                return runs
            case (ProjectPath(),):
                return self.runs(path)
            case _:
                return self.run(path)

    async def _exists(self, run: RunPath) -> bool:
        try:
            await self._gateway.api.count_all(run)
        except (RunNotFoundError, ConfigurationError):  # the latter if there is no default entity
            return False
        return True

    async def _each(
        self, selection: Selection, runs: Iterable[RunPath], *, urls: bool = True
    ) -> AsyncGenerator[Sequence[ListedRun]]:
        """List each run once, however often and in whatever spelling it was given."""
        paths = [await self._gateway.api.resolve(run) for run in runs]
        async with aclosing(self._gateway.named_runs(paths, selection, urls=urls)) as pages:
            async for page in pages:
                yield page
