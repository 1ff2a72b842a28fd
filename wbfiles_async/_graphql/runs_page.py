"""Parses one page of a project's runs. Performs no I/O, and knows no other pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from wbfiles_async._graphql.files_page import FilesPage, read_files
from wbfiles_async._graphql.json_values import mapping, project_number, text, whole_number
from wbfiles_async._graphql.page_end import PageEnd, edges_of, page_end
from wbfiles_async._graphql.shares import Share
from wbfiles_async._models import FileAttributes, ProjectPath, RunPath
from wbfiles_async.errors import RunNotFoundError

__all__ = ["ListedRun", "RunsPage", "parse_run", "parse_run_count", "parse_runs_page"]


@attrs.frozen
class ListedRun:
    """A run as the listing of its project describes it.

    Attributes:
        path: Its path.
        name: The name shown to people.
        state: Its state, such as ``finished``.
        created_at: When it was made, as the server writes it.
        files: The first page of its files; ``None`` if none was requested.
        file_count: The number of its files, if it was requested.
        part: The share of its files; ``None`` for all.
    """

    path: RunPath
    name: str | None = None
    state: str | None = None
    created_at: str | None = None
    files: FilesPage | None = None
    file_count: int | None = None
    part: Share | None = None

    def meant(self, files: Sequence[FileAttributes]) -> Sequence[FileAttributes]:
        """Return the files of the run's share."""
        if self.part is None:
            return files
        return [file for file in files if self.part.holds(f"{self.path.run_id}/{file.name}")]


@attrs.frozen
class RunsPage:
    """One page of a project's runs.

    Attributes:
        runs: The runs, in the server's order.
        end: Its end.
        run_count: All runs that the filters select.
        skipped: Entries that could not be read as a run.
        project_id: The project's number, which deletions need.
    """

    runs: tuple[ListedRun, ...]
    end: PageEnd
    run_count: int | None
    skipped: int
    project_id: int | None = None


def parse_runs_page(data: Mapping[str, object], *, project: ProjectPath) -> RunsPage:
    """Read the data of an answer to `RUNS` or `RUNS_WITH_FILES`.

    Raises:
        RunNotFoundError: The server knows no such project, or does not show it.
    """
    found = _found(data, project)
    runs = mapping(found.get("runs"))
    read = [_listed_run(mapping(edge.get("node")), project) for edge in edges_of(runs)]
    return RunsPage(
        runs=tuple(run for run in read if run is not None),
        end=page_end(runs),
        run_count=whole_number(found.get("runCount")),
        skipped=sum(run is None for run in read),
        project_id=project_number(found.get("internalId")),
    )


def parse_run_count(data: Mapping[str, object], *, project: ProjectPath) -> int | None:
    """Read the number of runs in an answer to `RUN_COUNT`; ``None`` if the server does not count.

    Raises:
        RunNotFoundError: The server knows no such project, or does not show it.
    """
    return whole_number(_found(data, project).get("runCount"))


def parse_run(data: Mapping[str, object], *, run: RunPath) -> ListedRun:
    """Read the data of an answer to `RUN`.

    Raises:
        RunNotFoundError: The server knows no such run, or does not show it.
    """
    found = mapping(mapping(data.get("project")).get("run"))
    if not found:
        raise RunNotFoundError(
            f"run {run} not found: it does not exist, or these credentials may not see it.", run=str(run)
        )
    return _listed_of(found, run)


def _found(data: Mapping[str, object], project: ProjectPath) -> Mapping[str, object]:
    found = mapping(data.get("project"))
    if not found:
        raise RunNotFoundError(
            f"project {project} not found: it does not exist, or these credentials may not see it.", run=str(project)
        )
    return found


def _listed_run(node: Mapping[str, object], project: ProjectPath) -> ListedRun | None:
    run_id = text(node.get("name"))
    if run_id is None:
        return None
    files = read_files(node, project_id=None) if "files" in node else None
    return attrs.evolve(_listed_of(node, RunPath(project.entity, project.project, run_id)), files=files)


def _listed_of(node: Mapping[str, object], path: RunPath) -> ListedRun:
    return ListedRun(
        path=path,
        name=text(node.get("displayName")),
        state=text(node.get("state")),
        created_at=text(node.get("createdAt")),
        file_count=whole_number(node.get("fileCount")),
    )
