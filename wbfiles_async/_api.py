"""The client: who asks, where, and how."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wbfiles_async._credentials import find_credentials, missing_credentials
from wbfiles_async._display.watching import watching_many
from wbfiles_async._files import check_existing, judged
from wbfiles_async._models import DownloadReport, Existing, FileResult, ProjectPath, RunPath
from wbfiles_async._protocol.layout import Layout
from wbfiles_async._protocol.run_paths import parse_project_path, parse_run_path, possible_meanings
from wbfiles_async._protocol.runs_page import ListedRun
from wbfiles_async._protocol.selection import Selection
from wbfiles_async._run import AsyncRun
from wbfiles_async._runs import AsyncRuns, parse_filters
from wbfiles_async._settings import LAYOUT, RUNS_PER_PAGE, TransferOptions, load_settings
from wbfiles_async.errors import ConfigurationError, RunNotFoundError

if TYPE_CHECKING:
    import httpx

    from wbfiles_async._transfer.progress import Progress


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

    def runs(
        self,
        path: str | None = None,
        filters: Mapping[str, object] | None = None,
        order: str = "+created_at",
        per_page: int = RUNS_PER_PAGE,
    ) -> AsyncRuns:
        """Select runs of a project. Makes no request.

        Args:
            path: ``entity/project``, ``project``, or the web address of the project; the project of the settings
                where none is given.
            filters: Only the runs that meet these conditions, in W&B's form of MongoDB's language, compared by the
                server: ``{"state": "finished", "config.lr": {"$gt": 0.1}}``.
            order: ``+`` or ``-`` and ``created_at``, ``heartbeat_at``, ``config.*.value`` or ``summary_metrics.*``.
            per_page: Runs to ask for in one request; fewer are asked for where the server refuses so many.

        Raises:
            ConfigurationError: The path names no project, or a value is none that can be asked for.

        Source:
            W&B's public API, ``Api.runs``, which tells the keys and operators of filters.
        """
        if per_page < 1:
            raise ConfigurationError(f"per_page is the number of runs in one request, 1 or more, not {per_page}.")
        settings = self._gateway.settings
        project = parse_project_path(path, base_url=settings.base_url, entity=settings.entity, project=settings.project)
        return AsyncRuns(self, project, parse_filters(filters), order or "+created_at", per_page)

    async def download(
        self,
        paths_or_runs: str | AsyncRun | AsyncRuns | Sequence[str | AsyncRun],
        root: str | os.PathLike[str] = ".",
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

        One path names a project where it ends with ``/`` or ``/runs`` or is the web address of one, and a run where it
        has three parts. Two parts mean a run of a project of the default entity, ``project/run_id``, if there
        is one, and else a project, ``entity/project``; the server is asked. In a sequence all paths are those of runs.

        Args:
            paths_or_runs: The path of a project or of a run, runs, or paths of runs as ``run`` takes them.
            root: Local folder; made where it is missing.
            layout: As for ``AsyncRuns.download``, as is all that follows.
            include: Shell patterns on the file's name; ``None`` (default) means all, an empty list none.
            exclude: Shell patterns of names to leave out.
            existing: What to do with a file that is there.
            dry_run: Whether to only tell what would be fetched.
            raise_on_error: Whether to raise when a file or a run failed, after the others are done.
            progress: As for ``AsyncFiles.download``.
            on_result: Called with each file's result, in the event loop's thread.

        Returns:
            What was done; a run that does not exist is one of its failures.

        Raises:
            IncompleteDownloadError: Files failed, or runs could not be listed; it carries the report.
            ConfigurationError: A path, a pattern, ``existing`` or ``layout`` cannot be used.
            RunNotFoundError: The project does not exist or is not visible; or a path of two parts names nothing.
            ApiError: The listing of a project's runs failed.
        """
        check_existing(existing)
        selection, folders = Selection(include, exclude), Layout(layout)
        given = await self._named_by(paths_or_runs) if isinstance(paths_or_runs, str) else paths_or_runs
        if isinstance(given, AsyncRuns):
            runs = given._listed(selection)
        else:
            several = [given] if isinstance(given, AsyncRun) else given
            runs = self._each([self.run(run) if isinstance(run, str) else run for run in several])
        shown = None if dry_run else progress
        async with watching_many(shown, on_result, None, selection) as (told, note):
            report = await self._gateway.download_many(
                runs,
                Path(root),
                layout=folders,
                selection=selection,
                existing=existing,
                dry_run=dry_run,
                progress=told,
                on_result=note,
            )
        return judged(report, existing, raise_on_error=raise_on_error)

    async def _named_by(self, path: str) -> AsyncRun | AsyncRuns:
        """Find out what a path names; the server is asked where it could be a run as well as a project.

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
            await self._gateway.count_all(run)
        except (RunNotFoundError, ConfigurationError):  # the latter where there is no default entity
            return False
        return True

    async def _each(self, runs: Iterable[AsyncRun]) -> AsyncGenerator[tuple[ListedRun, ...]]:
        """Yield each run once, however often and in whatever spelling it was given."""
        seen = set()
        for run in runs:
            path = await self._gateway.resolve(run._path)
            if path not in seen:
                seen.add(path)
                yield (ListedRun(path),)
