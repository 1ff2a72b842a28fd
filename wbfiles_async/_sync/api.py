"""The blocking client: it holds the async one, and each method is one call of that in the I/O thread."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._async.run_likes import HasPath, RunLike
from wbfiles_async._async.runs import AsyncRuns
from wbfiles_async._async.unsupported import API, HandlesFilesOnly
from wbfiles_async._models import Existing
from wbfiles_async._options import LAYOUT, PROJECTS_PER_PAGE, RUNS_PER_PAGE, OptionChanges, TransferOptions
from wbfiles_async._reports import DownloadReport, FileResult
from wbfiles_async._sync.client import Client
from wbfiles_async._sync.portal import close_at_exit, close_now, close_soon, run_blocking
from wbfiles_async._sync.projects import Projects
from wbfiles_async._sync.run import Run
from wbfiles_async._sync.runs import Runs

if TYPE_CHECKING:
    import ssl

    import httpx
    import httpx2
    from obstore.store import ObjectStore

    from wbfiles_async._download.progress import Progress


class Api(Client, HandlesFilesOnly):
    """Blocking form of ``AsyncApi``. Can be used from any thread, also while an event loop runs.

    ``close`` is optional: the client is closed when it is no longer referenced, and at exit.

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
        from wbfiles_async import Api

        with Api() as api:
            report = api.run("my-team/my-project/1a2b3c4d").download("data")
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
        self._async = AsyncApi(
            overrides,
            timeout,
            api_key,
            base_url=base_url,
            entity=entity,
            project=project,
            options=options,
            http_client=http_client,
            transport=transport,
            ssl_context=ssl_context,
            proxy=proxy,
        )
        self._parent: Api | None = None
        close_at_exit(self._async)
        weakref.finalize(self, close_soon, self._async).atexit = False

    def __repr__(self) -> str:
        return repr(self._async).replace("AsyncApi", "Api", 1)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("An Api holds credentials and connections and is not pickled; make one in each process.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. An injected ``http_client`` stays open.

        Blocking form of ``AsyncApi.aclose``.
        """
        close_now(self._async)

    def with_options(self, *, timeout: float | None = None, **changes: Unpack[OptionChanges]) -> Api:
        """Return a client like this one with some options changed, over the same connections.

        It is closed together with this one. Each has its own limits of connections and rate.

        Blocking form of ``AsyncApi.with_options``.

        Args:
            timeout: Seconds to wait for a response of the API.
            changes: Fields of ``TransferOptions``, such as ``connections=4``, ``verify=False``, ``attempts=3``.

        Raises:
            ConfigurationError: There is no such option, or it cannot have this value.

        Examples:
            ```python
            impatient = api.with_options(timeout=5, attempts=2, time_budget=20)
            file = impatient.run("my-team/my-project/1a2b3c4d").file("config.yaml")
            ```
        """
        return _like(self, self._async.with_options(timeout=timeout, **changes))

    @property
    def default_entity(self) -> str | None:
        """User or team for paths without one; ``None`` until it is known."""
        return self._async.default_entity

    def run(self, path: RunLike) -> Run:
        """Return a run by its path. Makes no request.

        Blocking form of ``AsyncApi.run``.

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
        return Run(self, self._async.run(_unwrapped(path)))

    def runs(
        self,
        path: str | Sequence[str] | None = None,
        filters: Mapping[str, object] | None = None,
        order: str = "+created_at",
        per_page: int = RUNS_PER_PAGE,
        include_sweeps: bool = False,
        lazy: bool = True,
    ) -> Runs:
        """Select runs of a project. Makes no request.

        Blocking form of ``AsyncApi.runs``.

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
            for run in runs:
                print(run.id, run.name, run.created_at)
            ```
        """
        return Runs(self, self._async.runs(path, filters, order, per_page, include_sweeps, lazy))

    def projects(self, entity: str | None = None, per_page: int = PROJECTS_PER_PAGE) -> Projects:
        """Select the projects of a user or team. Makes no request.

        Blocking form of ``AsyncApi.projects``.

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
            for project in api.projects("my-team"):
                print(project.name, project.runs().count(), "runs")
            ```
        """
        return Projects(self, self._async.projects(entity, per_page))

    def download(
        self,
        paths_or_runs: str | HasPath | Runs | Sequence[RunLike],
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

        Downloads into an object store need no local disk; see ``Files.download``.

        Blocking form of ``AsyncApi.download``.

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
            on_result: Called with each file's result, in the I/O thread.

        Returns:
            The report; a run that does not exist is one of its failures.

        Raises:
            IncompleteDownloadError: Files failed, or runs could not be listed; it has the report.
            ConfigurationError: A path, a pattern, ``existing`` or ``layout`` cannot be used.
            RunNotFoundError: The project does not exist or is not visible, or a path of two parts names nothing.
            ApiError: The listing of a project's runs failed.

        Examples:
            ```python
            api.download("my-team/my-project/", "data", include=["*.json"])  # a project
            api.download(["my-team/my-project/1a2b3c4d"], "some", layout="{project}/{run}")  # these runs
            ```
        """
        return run_blocking(
            self._async.download,
            _all_unwrapped(paths_or_runs),
            root,
            layout=layout,
            include=include,
            exclude=exclude,
            existing=existing,
            dry_run=dry_run,
            raise_on_error=raise_on_error,
            progress=progress,
            on_result=on_result,
        )


def _unwrapped(run: RunLike) -> RunLike:
    return run._run if isinstance(run, Run) else run


def _all_unwrapped(given: str | HasPath | Runs | Sequence[RunLike]) -> str | HasPath | AsyncRuns | Sequence[RunLike]:
    if isinstance(given, Runs):
        return given._runs
    if isinstance(given, Run):
        return given._run
    return given if isinstance(given, str | HasPath) else [_unwrapped(run) for run in given]


def _like(api: Api, client: AsyncApi) -> Api:
    """Return a blocking client whose connections are another one's, which it keeps open."""
    other = object.__new__(type(api))
    other._async, other._parent = client, api
    return other
