"""What the first argument of a command names: a run, the runs of a project, or one file of a run."""

from __future__ import annotations

import glob

import click

from wbfiles_async import AsyncApi, AsyncRun, AsyncRuns
from wbfiles_async._cli.chosen import Chosen
from wbfiles_async._protocol.run_paths import split_file_page
from wbfiles_async._protocol.selection import Selection

Filters = dict[str, object] | None


async def find_target(
    api: AsyncApi, path: str, chosen: Chosen, filters: Filters
) -> tuple[AsyncRun | AsyncRuns, Chosen]:
    """Return the run, or the runs of a project, that a path names, and which of their files.

    Args:
        api: The client.
        path: What was typed: a path, or the address of a page.
        chosen: Which files were asked for besides.
        filters: Conditions on runs; with them the path can only name a project.

    Raises:
        click.UsageError: The address names a file, and files were chosen too.
        ConfigurationError: The path names neither a run nor a project.
        RunNotFoundError: There is no such run or project.
    """
    if filters is not None:
        return api.runs(path, filters), chosen
    named = await _find_inside(api, path, chosen)
    return named or (await api._named_by(path), chosen)


async def find_run(api: AsyncApi, path: str, chosen: Chosen) -> tuple[AsyncRun, Chosen]:
    """Return the run that a path names, and which of its files.

    Args:
        api: The client.
        path: What was typed: a path, or the address of a page.
        chosen: Which files were asked for besides.

    Raises:
        click.UsageError: The address names a file, and files were chosen too.
        ConfigurationError: The path names no run.
    """
    named = await _find_inside(api, path, chosen)
    return named or (api.run(path), chosen)


def find_names(api: AsyncApi, path: str, names: tuple[str, ...]) -> tuple[AsyncRun, tuple[str, ...]]:
    """Return the run that a path names, and the names of single files of it. Makes no request.

    Args:
        api: The client.
        path: What was typed: a path, or the address of a page.
        names: The names that were typed.

    Raises:
        click.UsageError: No file is named, or two ways are used to name one.
        ConfigurationError: The path names no run.
    """
    page = split_file_page(path, base_url=api._gateway.settings.base_url)
    if page is None:
        if not names:
            raise click.UsageError("Say which file: NAME.")
        return api.run(path), names
    if names:
        raise _named_twice(path, page[1])
    return api.run(page[0]), (page[1],)


def _named_twice(path: str, name: str) -> click.UsageError:
    return click.UsageError(f"{path} names {name} already; give no NAMEs and globs, or the address of the run.")


async def _find_inside(api: AsyncApi, path: str, chosen: Chosen) -> tuple[AsyncRun, Chosen] | None:
    """Return the run and the file, or the files of the folder, whose page it is; ``None`` if it is another page."""
    page = split_file_page(path, base_url=api._gateway.settings.base_url)
    if page is None:
        return None
    run, name = api.run(page[0]), page[1]
    if chosen:
        raise _named_twice(path, name)
    if await api._gateway.find(run._path, name) is not None:
        return run, Chosen((name,), None, Selection())
    return run, Chosen((), None, Selection([f"{glob.escape(name)}/"]))
