"""The questions about a project that W&B's API is asked: which runs it has, how many, and what one of them is like."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING

from wbfiles_async._listing import MODEST_PAGE, ahead
from wbfiles_async._models import ProjectPath, RunPath
from wbfiles_async._protocol.backoff import is_transient
from wbfiles_async._protocol.graphql import RUN, RUN_COUNT, RUNS, RUNS_WITH_FILES
from wbfiles_async._protocol.pages import RunPages
from wbfiles_async._protocol.runs_page import ListedRun, RunsPage, parse_run, parse_run_count, parse_runs_page
from wbfiles_async.errors import ApiError

if TYPE_CHECKING:
    from wbfiles_async._gateway import Gateway

log = logging.getLogger(__name__)


def run_pages(gateway: Gateway, walk: RunPages) -> AsyncGenerator[tuple[ListedRun, ...]]:
    """Yield the runs of a project, page by page; the next page is on its way while one is used.

    Raises:
        RunNotFoundError: The project does not exist or is not visible.
        ApiError: The server fails, or leads in circles.
    """

    def accept(page: RunsPage) -> tuple[ListedRun, ...]:
        runs = walk.accept(page)
        if page.skipped:
            log.warning("%s: the server listed %d runs without an id; they are left out", walk.project, page.skipped)
        return runs

    return ahead(lambda: _page(gateway, walk), accept, lambda: walk.done)


async def _page(gateway: Gateway, walk: RunPages) -> RunsPage:
    query = RUNS_WITH_FILES if walk.files_each else RUNS
    try:
        data = await gateway.ask(query, walk.variables())
    except ApiError as error:
        asked = walk.per_page * max(1, walk.files_each)
        if asked <= MODEST_PAGE or is_transient(error.status):
            raise
        log.info("%s: a page of %d was refused, asking for %d", walk.project, asked, MODEST_PAGE)
        walk.per_page = min(walk.per_page, MODEST_PAGE)
        walk.files_each = min(walk.files_each, max(1, MODEST_PAGE // walk.per_page))
        data = await gateway.ask(query, walk.variables())
    nodes = walk.per_page * max(1, walk.files_each)
    return await gateway.read(partial(parse_runs_page, data, project=walk.project), nodes=nodes)


async def count_runs(gateway: Gateway, project: ProjectPath, filters: str) -> int | None:
    """Ask how many runs of the project the filters select; ``None`` where the server does not count.

    Raises:
        RunNotFoundError: The project does not exist or is not visible.
        ApiError: The server fails.
    """
    project = await gateway.resolve(project)
    variables: dict[str, object] = {"project": project.project, "entity": project.entity, "filters": filters}
    return parse_run_count(await gateway.ask(RUN_COUNT, variables), project=project)


async def look_up_run(gateway: Gateway, run: RunPath) -> ListedRun:
    """Ask for what the listing of its project tells of one run.

    Raises:
        RunNotFoundError: The run or its project does not exist or is not visible.
        ApiError: The server fails.
    """
    run = await gateway.resolve(run)
    variables: dict[str, object] = {"project": run.project, "entity": run.entity, "name": run.run_id}
    return parse_run(await gateway.ask(RUN, variables), run=run)
