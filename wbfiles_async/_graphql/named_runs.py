"""Lists runs given by their paths, many per request."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing

import attrs

from wbfiles_async._backoff import is_transient
from wbfiles_async._graphql.api import WandbApi
from wbfiles_async._graphql.pagination import RunPages
from wbfiles_async._graphql.prefetch import prefetch
from wbfiles_async._graphql.runs_page import ListedRun
from wbfiles_async._models import ProjectPath, RunPath
from wbfiles_async._options import PER_PAGE, RUNS_PER_PAGE
from wbfiles_async.errors import ApiError, PermissionDeniedError, RunNotFoundError

__all__ = ["NamedRuns"]

log = logging.getLogger(__name__)

_ORDER = "+created_at"


@attrs.frozen
class NamedRuns:
    """Lists runs with the first of their files, the runs of a project together, by a filter on their names.

    A run that such a request does not list is returned without files, to be listed separately: it may be missing,
    which is then detected; the server may not support the filter; or the request failed.
    """

    _api: WandbApi
    _names: tuple[str, ...] = ()
    _pattern: str | None = None
    _urls: bool = attrs.field(default=True, alias="urls")

    async def pages(self, runs: Iterable[RunPath]) -> AsyncGenerator[Sequence[ListedRun]]:
        """Yield the runs, each once and those of a project in the given order; the next page is prefetched.

        Args:
            runs: Their paths, entities known.

        Raises:
            AuthenticationError: The credentials were not accepted.
            TransferError: The API is not reachable.
        """
        batches = _batches(runs)
        upcoming = next(batches, None)

        async def request() -> Sequence[ListedRun]:
            nonlocal upcoming
            batch, upcoming = upcoming, next(batches, None)
            return await self._list(batch or ())

        async def read(page: Sequence[ListedRun]) -> Sequence[ListedRun]:
            return page

        async with aclosing(prefetch(request, read, lambda: upcoming is None)) as pages:
            async for page in pages:
                yield page

    async def _list(self, batch: Sequence[RunPath]) -> Sequence[ListedRun]:
        found: dict[RunPath, ListedRun] = {}
        if len(batch) > 1 and self._api.finds_runs:
            try:
                found = await self._find(batch)
            except (RunNotFoundError, PermissionDeniedError):
                pass  # each run's own request reports the same error
            except ApiError as error:
                self._api.finds_runs = is_transient(error.status)
                log.info("%s does not list runs by their names, listing each by itself: %s", batch[0].project, error)
        return [found.get(path) or ListedRun(path) for path in batch]

    async def _find(self, batch: Sequence[RunPath]) -> dict[RunPath, ListedRun]:
        """List runs of one project.

        Raises:
            ApiError: The server does not support the filter; also if it lists other runs than requested.
        """
        walk = RunPages(
            ProjectPath(batch[0].entity, batch[0].project),
            filters=json.dumps({"name": {"$in": [path.run_id for path in batch]}}),
            order=_ORDER,
            per_page=len(batch),
            files_each=PER_PAGE // len(batch),
            names=self._names,
            pattern=self._pattern,
            urls=self._urls,
        )
        found: dict[RunPath, ListedRun] = {}
        async with aclosing(self._api.run_pages(walk)) as pages:
            async for page in pages:
                found |= {run.path: run for run in page}
                if not found.keys() <= set(batch):
                    raise ApiError("the server lists other runs than were requested", status=200)
        return found


def _batches(runs: Iterable[RunPath]) -> Iterator[Sequence[RunPath]]:
    """Yield batches of distinct runs of one project for one request each, projects in order of first appearance."""
    projects: dict[tuple[str, str], dict[RunPath, None]] = defaultdict(dict)
    for path in runs:
        projects[path.entity, path.project][path] = None
    for of_project in projects.values():
        paths = list(of_project)
        for start in range(0, len(paths), RUNS_PER_PAGE):
            yield paths[start : start + RUNS_PER_PAGE]
