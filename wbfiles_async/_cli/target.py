"""Resolves the first argument of a command: a run, the runs of a project, or a file of a run."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import click

from wbfiles_async import AsyncApi, AsyncRun, AsyncRuns
from wbfiles_async._cli.chosen import Chosen, SeveralRuns
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.run_paths import possible_meanings, split_file_page
from wbfiles_async._models import ProjectPath
from wbfiles_async.errors import RunNotFoundError

Filters = dict[str, object] | None


async def find_target(
    api: AsyncApi, path: str, chosen: Chosen, filters: Filters
) -> tuple[AsyncRun | AsyncRuns, Chosen]:
    """Return the run, or the runs of a project, of a path, and the selected files.

    Args:
        api: The client.
        path: The argument: a path, or the URL of a page.
        chosen: The files selected by other arguments.
        filters: Conditions on runs; with them the path can only name a project.

    Raises:
        click.UsageError: The URL names a file, and files were selected too.
        ConfigurationError: The path names neither a run nor a project.
        RunNotFoundError: There is no such run or project.
    """
    if filters is not None:
        return chosen.paged(api.runs(path, filters)), chosen
    if named := await _find_inside(api, path, chosen):
        return named
    target = await api._named_by(path)
    return (chosen.paged(target) if isinstance(target, AsyncRuns) else target), chosen


async def find_erasable(
    api: AsyncApi, path: str, chosen: Chosen, filters: Filters
) -> tuple[AsyncRun | AsyncRuns, Chosen]:
    """Return the run, or the runs of a project, to delete files from, and the selected files.

    A path that could name either is a run: a project needs its slash, its URL, or filters.

    Args:
        api: The client.
        path: The argument: a path, or the URL of a page.
        chosen: The files selected by other arguments.
        filters: Conditions on runs; with them the path can only name a project.

    Raises:
        click.UsageError: The URL names a file, and files were selected too.
        ConfigurationError: The path names neither a run nor a project.
    """
    if filters is not None:
        return chosen.paged(api.runs(path, filters)), chosen
    if named := await _find_inside(api, path, chosen):
        return named
    settings = api._gateway.settings
    match possible_meanings(path, base_url=settings.base_url, entity=settings.entity, project=settings.project):
        case (ProjectPath(),):
            return chosen.paged(api.runs(path)), chosen
        case _:
            return api.run(path), chosen


def find_several(api: AsyncApi, paths: tuple[str, ...]) -> SeveralRuns:
    """Return the runs of paths. Makes no request.

    Raises:
        click.UsageError: A path names a project.
        ConfigurationError: A path names no run.
    """
    return SeveralRuns(api, tuple(run_of(api, path) for path in paths))


def check_project(target: AsyncRun | AsyncRuns | SeveralRuns, chosen: Chosen, path: str) -> None:
    """Check that what is chosen can be chosen of more than one run.

    Raises:
        click.UsageError: It is chosen by a pattern of the server's, and the path names no single run.
    """
    if chosen.pattern is not None and not isinstance(target, AsyncRun):
        what = "is a project" if isinstance(target, AsyncRuns) else "is not the only run"
        raise click.UsageError(f"{path} {what}, and --pattern is for one run; use --include.")


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Add a note to an error about how a short path was understood.

    Args:
        path: What was typed.
    """
    try:
        yield
    except RunNotFoundError as error:
        parts = path.strip("/").removesuffix("/runs").count("/") + 1
        if "://" not in path and error.run != path and parts < (2 if path.endswith(("/", "/runs")) else 3):
            error.add_note(
                "What a path leaves out comes from the settings; whole, it is ENTITY/PROJECT/RUN, and ENTITY/PROJECT/ "
                "for a project."
            )
        raise


def run_of(api: AsyncApi, path: str) -> AsyncRun:
    """Return the run of a path. Makes no request.

    Raises:
        click.UsageError: The path names a project.
        ConfigurationError: The path names no run.
    """
    settings = api._gateway.settings
    match possible_meanings(path, base_url=settings.base_url, entity=settings.entity, project=settings.project):
        case (ProjectPath() as project,):
            raise click.UsageError(
                f"{path} is a project, and a run is needed: {project}/RUN; `wbfiles ls {project}/` lists its runs."
            )
        case _:
            return api.run(path)


def find_names(api: AsyncApi, path: str, names: tuple[str, ...]) -> tuple[AsyncRun, tuple[str, ...]]:
    """Return the run of a path, and the names of files. Makes no request.

    Args:
        api: The client.
        path: The argument: a path, or the URL of a page.
        names: The names, as typed.

    Raises:
        click.UsageError: The path names a project, no file is named, or two ways are used to name one.
        ConfigurationError: The path names no run.
    """
    page = split_file_page(path, base_url=api._gateway.settings.base_url)
    if page is None:
        if not names:
            raise click.UsageError("Say which file: NAME.")
        return run_of(api, path), names
    if names:
        raise _named_twice(path, page[1])
    return api.run(page[0]), (page[1],)


def _named_twice(path: str, name: str) -> click.UsageError:
    return click.UsageError(f"{path} names {name} already; leave out NAMEs and globs, or give the URL of the run.")


async def _find_inside(api: AsyncApi, path: str, chosen: Chosen) -> tuple[AsyncRun, Chosen] | None:
    """Return the run and the file, or the files of the folder, of a page's URL; ``None`` for other pages."""
    page = split_file_page(path, base_url=api._gateway.settings.base_url)
    if page is None:
        return None
    run, name = api.run(page[0]), page[1]
    if chosen:
        raise _named_twice(path, name)
    if await api._gateway.api.find(run._path, name) is not None:
        return run, attrs.evolve(chosen, names=(name,))
    return run, attrs.evolve(chosen, selection=Selection([f"{glob.escape(name)}/"]))
