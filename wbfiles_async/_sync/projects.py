"""The projects of a user or team, blocking: a sequence that remembers them, and each the way to its runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import ClassVar

from wbfiles_async._async.projects import AsyncProject, AsyncProjects
from wbfiles_async._async.unsupported import PROJECT, HandlesFilesOnly
from wbfiles_async._html import ShownList
from wbfiles_async._options import RUNS_PER_PAGE
from wbfiles_async._sync.client import Client, async_of
from wbfiles_async._sync.portal import iterate_blocking, run_blocking
from wbfiles_async._sync.runs import Runs
from wbfiles_async._sync.sequence import RememberedSequence


class Project(HandlesFilesOnly):
    """Blocking form of ``AsyncProject``. Listed by ``Api.projects``. Pickled without its client."""

    __slots__ = ("_client", "_project")
    _unsupported = PROJECT
    _noun: ClassVar[str] = AsyncProject._noun
    _columns: ClassVar[tuple[str, ...]] = AsyncProject._columns

    def __init__(self, client: Client | None, project: AsyncProject) -> None:
        self._client = client
        self._project = project

    def __eq__(self, other: object) -> bool:
        return self._project == other._project if isinstance(other, Project) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._project)

    def __repr__(self) -> str:
        return repr(self._project).replace("AsyncProject", "Project", 1)

    def _repr_html_(self) -> str:
        return self._project._repr_html_()

    def _row(self) -> tuple[str, ...]:
        return self._project._row()

    def __reduce__(self) -> tuple[object, ...]:
        return Project, (None, self._project)

    @property
    def entity(self) -> str:
        """User or team."""
        return self._project.entity

    @property
    def name(self) -> str:
        """The project's name."""
        return self._project.name

    @property
    def id(self) -> str:
        """The server's id of the project."""
        return self._project.id

    @property
    def created_at(self) -> str | None:
        """Time of creation, as the server writes it."""
        return self._project.created_at

    @property
    def is_benchmark(self) -> bool:
        """Whether it is a benchmark."""
        return self._project.is_benchmark

    @property
    def path(self) -> list[str]:
        """Entity and name, like W&B's own ``Project.path``."""
        return self._project.path

    def runs(
        self,
        filters: Mapping[str, object] | None = None,
        order: str = "+created_at",
        per_page: int = RUNS_PER_PAGE,
        *,
        api: Client | None = None,
    ) -> Runs:
        """Select runs of the project, as ``Api.runs`` does. Makes no request.

        Blocking form of ``AsyncProject.runs``.

        Args:
            filters: Only the runs that meet these conditions; see ``Api.runs``.
            order: ``+`` or ``-`` and what to order by; see ``Api.runs``.
            per_page: Runs to list in one request; fewer if the server refuses so many.
            api: Client to use instead of the project's own, for the runs too.

        Returns:
            The runs, not listed yet.

        Raises:
            ConfigurationError: A value cannot be used, or the project has no client.
        """
        runs = self._project.runs(filters, order, per_page, api=async_of(api))
        return Runs(api or self._client, runs)


class Projects(RememberedSequence[AsyncProject, Project]):
    """Blocking form of ``AsyncProjects``: iterable, with ``len()``, ``[i]``, ``[a:b]``. Lists each page once."""

    def __init__(self, client: Client, projects: AsyncProjects) -> None:
        super().__init__()
        self._client = client
        self._projects = projects

    def __repr__(self) -> str:
        return repr(self._projects).replace("AsyncProjects", "Projects", 1)

    def pages(self) -> Iterator[list[Project]]:
        """Iterate page by page; the next page is requested while one is used.

        Blocking form of ``AsyncProjects.pages``.

        Yields:
            The projects of a page.

        Raises:
            RunNotFoundError: The user or team does not exist or is not visible.
            ApiError: The server failed.
        """
        for page in iterate_blocking(self._projects.pages()):
            yield self._wrap(page)

    def to_list(self) -> list[Project]:
        """List all projects.

        Blocking form of ``AsyncProjects.to_list``.

        Returns:
            All projects of this listing, in its order.

        Raises:
            RunNotFoundError: The user or team does not exist or is not visible.
            ApiError: The server failed.
        """
        return self._wrap(run_blocking(self._projects.to_list))

    def first(self) -> Project | None:
        """Return the first project; ``None`` if there is none.

        Blocking form of ``AsyncProjects.first``.

        Raises:
            RunNotFoundError: The user or team does not exist or is not visible.
            ApiError: The server failed.
        """
        first = run_blocking(self._projects.first)
        return None if first is None else Project(self._client, first)

    def count(self) -> int:
        """Count the projects by listing them, since the server does not count them.

        Blocking form of ``AsyncProjects.count``.

        Returns:
            The number of projects.

        Raises:
            RunNotFoundError: The user or team does not exist or is not visible.
            ApiError: The server failed.
        """
        return run_blocking(self._projects.count)

    def _begin(self) -> AsyncGenerator[list[AsyncProject]]:
        return self._projects.pages()

    def _wrap(self, page: list[AsyncProject]) -> list[Project]:
        return ShownList(Project(self._client, project) for project in page)

    def _title(self) -> tuple[str, str]:
        return "Projects", self._projects._title()
