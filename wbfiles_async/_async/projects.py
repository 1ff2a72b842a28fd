"""The projects of a user or team, listed lazily."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar

import attrs

from wbfiles_async._async.runs import AsyncRuns, parse_filters
from wbfiles_async._async.unsupported import PROJECT, HandlesFilesOnly
from wbfiles_async._graphql.pagination import ProjectPages
from wbfiles_async._graphql.projects_page import ListedProject
from wbfiles_async._html import ShownList, listing_html, titled
from wbfiles_async._options import RUNS_PER_PAGE
from wbfiles_async._text import local_time
from wbfiles_async.errors import ConfigurationError

if TYPE_CHECKING:
    from wbfiles_async._async.client import Client


@attrs.frozen(repr=False)
class AsyncProject(HandlesFilesOnly):
    """A project, as ``AsyncApi.projects`` lists it.

    Two objects are equal if they are the same project. Pickled without its client; pass ``api=`` to methods after
    unpickling.
    """

    _unsupported = PROJECT
    _noun: ClassVar[str] = "project"
    _columns: ClassVar[tuple[str, ...]] = ("name", "created")
    _client: Client | None = attrs.field(eq=False)
    _listed: ListedProject = attrs.field(eq=lambda listed: listed.path)

    def __repr__(self) -> str:
        return f"<AsyncProject {self._listed.path}>"

    def _repr_html_(self) -> str:
        return titled("Project", str(self._listed.path))

    def _row(self) -> tuple[str, ...]:
        return self.name, local_time(self.created_at)

    def __reduce__(self) -> tuple[object, ...]:
        return AsyncProject, (None, self._listed)

    @property
    def entity(self) -> str:
        """User or team."""
        return self._listed.path.entity

    @property
    def name(self) -> str:
        """The project's name."""
        return self._listed.path.project

    @property
    def id(self) -> str:
        """The server's id of the project."""
        return self._listed.id

    @property
    def created_at(self) -> str | None:
        """Time of creation, as the server writes it."""
        return self._listed.created_at

    @property
    def is_benchmark(self) -> bool:
        """Whether it is a benchmark."""
        return self._listed.is_benchmark

    @property
    def path(self) -> list[str]:
        """Entity and name, like W&B's own ``Project.path``."""
        return [self.entity, self.name]

    def runs(
        self,
        filters: Mapping[str, object] | None = None,
        order: str = "+created_at",
        per_page: int = RUNS_PER_PAGE,
        *,
        api: Client | None = None,
    ) -> AsyncRuns:
        """Select runs of the project, as ``AsyncApi.runs`` does. Makes no request.

        Args:
            filters: Only the runs that meet these conditions; see ``AsyncApi.runs``.
            order: ``+`` or ``-`` and what to order by; see ``AsyncApi.runs``.
            per_page: Runs to list in one request; fewer if the server refuses so many.
            api: Client to use instead of the project's own, for the runs too.

        Returns:
            The runs, not listed yet.

        Raises:
            ConfigurationError: A value cannot be used, or the project has no client.
        """
        if per_page < 1:
            raise ConfigurationError(f"per_page is the number of runs in one request, 1 or more, not {per_page}.")
        client = api or self._client
        if client is None:
            raise ConfigurationError(
                f"The project {self._listed.path} has no client, since it was pickled. Pass api= to the call."
            )
        return AsyncRuns(client, self._listed.path, parse_filters(filters), order or "+created_at", per_page)


@attrs.frozen(eq=False, repr=False)
class AsyncProjects:
    """The projects of a user or team, as ``AsyncApi.projects`` selects them. Each iteration lists them again."""

    _client: Client
    _entity: str
    _per_page: int

    def __repr__(self) -> str:
        return f"<AsyncProjects of {self._entity or 'the default entity'}>"

    def _repr_html_(self) -> str:
        return listing_html("Projects", self._title(), (), complete=False)

    def _title(self) -> str:
        return self._entity or self._client._gateway.api.default_entity or "the default entity"

    async def __aiter__(self) -> AsyncGenerator[AsyncProject]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for project in page:
                    yield project

    async def pages(self) -> AsyncGenerator[list[AsyncProject]]:
        """Iterate page by page; the next page is requested while one is used.

        Yields:
            The projects of a page.

        Raises:
            RunNotFoundError: The user or team does not exist or is not visible.
            ApiError: The server failed.
        """
        api = self._client._gateway.api
        walk = ProjectPages(self._entity or await api.entity(), per_page=self._per_page)
        async with aclosing(api.project_pages(walk)) as pages:
            async for page in pages:
                yield ShownList(AsyncProject(self._client, project) for project in page)

    async def to_list(self) -> list[AsyncProject]:
        """List all projects.

        Returns:
            All projects of this listing, in its order.

        Raises:
            RunNotFoundError: The user or team does not exist or is not visible.
            ApiError: The server failed.
        """
        return ShownList([project async for project in self])

    async def first(self) -> AsyncProject | None:
        """Return the first project; ``None`` if there is none.

        Raises:
            RunNotFoundError: The user or team does not exist or is not visible.
            ApiError: The server failed.
        """
        async with aclosing(self.__aiter__()) as projects:
            async for project in projects:
                return project
        return None

    async def count(self) -> int:
        """Count the projects by listing them, since the server does not count them.

        Returns:
            The number of projects.

        Raises:
            RunNotFoundError: The user or team does not exist or is not visible.
            ApiError: The server failed.
        """
        return len(await self.to_list())
