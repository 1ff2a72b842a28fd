"""Parses paths and URLs of runs and projects. Performs no I/O, and knows no default entity."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from wbfiles_async._models import ProjectPath, RunPath
from wbfiles_async._urls import without_secrets
from wbfiles_async.errors import ConfigurationError

__all__ = ["parse_entity", "parse_project_path", "parse_run_path", "possible_meanings", "split_file_page"]

_FORMS = "use entity/project/run_id, entity/project/runs/run_id, project/run_id, run_id, or the URL of the run's page"
_PROJECT_FORMS = "use entity/project, project, or the URL of the project's page"

_LONGEST_SHOWN = 200  # characters

# The pages of W&B's cloud: host -> path before the entity.
_CLOUD_PAGES = {"wandb.ai": "", "www.wandb.ai": "", "forge.coreweave.com": "/wandb"}
_CLOUD_API = "https://api.wandb.ai"

# Tabs of a project that show its runs.
_PROJECT_TABS = frozenset({"overview", "runs", "table", "workspace"})
# Other pages below that of a project: part of the path -> what the page shows.
_OTHER_PAGES = {
    "artifacts": "an artifact, or the project's artifacts",
    "automations": "the project's automations",
    "groups": "a group of runs",
    "jobs": "the project's jobs",
    "launch": "the project's jobs",
    "reports": "a report, or the project's reports",
    "sweeps": "a sweep, or the project's sweeps",
    "weave": "the project's traces",
}
# Their names in W&B's filters of runs.
_FILTERS = {"groups": "group", "sweeps": "sweep"}

# W&B forbids these in the names of projects, and ":" "#" "?" "/" in the ids of runs.
_FORBIDDEN = frozenset("/\\#?%:")


def parse_run_path(path: str, *, base_url: str, entity: str | None, project: str | None) -> RunPath:
    """Parse a path or the URL of a run's page.

    A path is parsed as by ``wandb.Api().run``: also ``project/runs/run_id``, ``/runs/run_id``,
    ``entity/project:run_id`` and ``project:run_id``. Of a URL, the tab (``/files``, ``/logs``), the query and
    the fragment are ignored; what is below, such as the page of a file, is refused.

    Args:
        path: The user's argument.
        base_url: The configured server; only URLs of its pages are accepted.
        entity: Replaces a missing entity; if it is missing too, the result's entity is empty.
        project: Replaces a missing project.

    Raises:
        ConfigurationError: It names no run, or the project is missing.

    Source:
        ``Api._parse_path`` and ``api_to_app_url`` of wandb 0.31.0.
    """
    try:
        parts = _from_url(path, base_url) if "://" in path else _from_path(path)
        for part in parts:
            _check(part)
    except ValueError as error:
        raise ConfigurationError(f"{_shown(path)} names no run: {error}; {_FORMS}") from None
    run_id = parts.pop()
    named_project = parts.pop() if parts else project
    if not named_project:
        raise ConfigurationError(
            f"the project of run {run_id!r} is not known: give project/run_id, or set WANDB_PROJECT"
        )
    named_entity = parts.pop() if parts else entity
    return RunPath(entity=named_entity or "", project=named_project, run_id=run_id)


def parse_project_path(path: str | None, *, base_url: str, entity: str | None, project: str | None) -> ProjectPath:
    """Parse a path or the URL of a page as a project.

    Args:
        path: What the user gave: ``entity/project``, ``project``, either with ``/`` or ``/runs`` behind it, or a URL;
            ``None`` for the project of the settings.
        base_url: As for `parse_run_path`.
        entity: Replaces a missing entity; if it is missing too, the result's entity is empty.
        project: Replaces a missing path.

    Raises:
        ConfigurationError: It names no project.
    """
    path = project if path is None else path
    if not path:
        raise ConfigurationError(f"the project is not known: {_PROJECT_FORMS}, or set WANDB_PROJECT")
    try:
        parts = _project_parts(path, base_url)
    except ValueError as error:
        raise ConfigurationError(f"{_shown(path)} names no project: {error}; {_PROJECT_FORMS}") from None
    named = parts.pop()
    return ProjectPath(entity=parts.pop() if parts else entity or "", project=named)


def parse_entity(name: str) -> str:
    """Validate the name of a user or team.

    Raises:
        ConfigurationError: It cannot.
    """
    try:
        _check(name)
    except ValueError as error:
        raise ConfigurationError(f"{_shown(name)} names no user or team: {error}") from None
    return name


def possible_meanings(
    path: str, *, base_url: str, entity: str | None, project: str | None
) -> tuple[RunPath | ProjectPath, ...]:
    """Return the possible meanings of a path that may name a run or a project.

    A URL is unambiguous. A path of at most two parts with ``/`` or ``/runs`` at its end is a project. Two parts
    without it can be ``project/run_id`` or ``entity/project``. Anything else is a run.

    Args:
        path: The user's argument.
        base_url: As for `parse_run_path`.
        entity: As for `parse_run_path`.
        project: As for `parse_run_path`.

    Returns:
        One, or two: first the run, then the project in case there is no such run.

    Raises:
        ConfigurationError: It names neither.
    """
    if "://" in path:
        try:
            is_project, is_open = not _read_page(path, base_url).run_id, False
        except ValueError as error:
            raise ConfigurationError(
                f"{_shown(path)} names no run and no project: {error}; give entity/project/run_id, entity/project/, or "
                "the URL of a run's or a project's page"
            ) from None
    else:
        parts = path.strip("/").split("/")
        marked = path.endswith("/") or (len(parts) > 1 and parts[-1] == "runs")
        is_project = marked and len(_without_runs(parts)) <= 2
        is_open = len(parts) == 2 and ":" not in path and not path.startswith("/")
    as_project: tuple[ProjectPath, ...] = ()
    if is_project or is_open:
        as_project = (parse_project_path(path, base_url=base_url, entity=entity, project=None),)
    if is_project:
        return as_project
    return (parse_run_path(path, base_url=base_url, entity=entity, project=project), *as_project)


def split_file_page(path: str, *, base_url: str) -> tuple[str, str] | None:
    """Split the URL of the page of a run's file, or of a folder of them.

    Args:
        path: The user's argument.
        base_url: As for `parse_run_path`.

    Returns:
        The run's path and the name of the file or folder; ``None`` if the path is something else.
    """
    if "://" not in path:
        return None
    try:
        page = _read_page(path, base_url)
    except ValueError:
        return None  # the next parser of the path explains it
    return (f"{page.entity}/{page.project}/runs/{page.run_id}", page.file) if page.file else None


def _shown(path: str) -> str:
    return repr(without_secrets(path)[:_LONGEST_SHOWN])


def _project_parts(path: str, base_url: str) -> list[str]:
    if "://" in path:
        page = _read_page(path, base_url)
        if page.run_id:
            raise ValueError(f"it is the page of the run {page.run_id!r}")
        return [page.entity, page.project]
    parts = _without_runs(path.strip("/").split("/"))
    if len(parts) > 2:
        raise ValueError("it has too many parts")
    for part in parts:
        _check(part)
    return parts


def _without_runs(parts: list[str]) -> list[str]:
    return parts[:-1] if len(parts) > 1 and parts[-1] == "runs" else parts


def _from_path(path: str) -> list[str]:
    parts = path.strip("/").split("/")
    # `runs/x` without a slash before it is the run x of a project that is called "runs".
    if len(parts) > 1 and parts[-2] == "runs" and (len(parts) > 2 or path.startswith("/")):
        del parts[-2]
    elif len(parts) > 2 and parts[-1] == "runs":
        raise ValueError("it is the path of a project's runs")
    if len(parts) <= 2 and ":" in parts[-1]:
        parts[-1:] = parts[-1].split(":", maxsplit=1)
    if len(parts) > 3:
        raise ValueError("it has too many parts")
    return parts


def _from_url(url: str, base_url: str) -> list[str]:
    page = _read_page(url, base_url)
    if not page.run_id:
        raise ValueError(f"it is the page of the project {page.entity}/{page.project}")
    if page.file:
        raise ValueError(
            f"it is the page of the file or folder {page.file!r} of the run {page.entity}/{page.project}/{page.run_id}"
        )
    return [page.entity, page.project, page.run_id]


@attrs.frozen
class _Page:
    """The parsed URL of a page.

    Attributes:
        entity: User or team.
        project: The project's name.
        run_id: The run's id; empty if the page is one of the project.
        file: The name of a file or folder of the run; empty if the page is one of the run itself.
    """

    entity: str
    project: str
    run_id: str = ""
    file: str = ""


def _read_page(url: str, base_url: str) -> _Page:
    """Parse the URL of a page.

    Raises:
        ValueError: The page is not of a project, a run, or a run's files.
    """
    match _segments_of(url, base_url):
        case [_, "projects"]:
            raise ValueError("it is the page of all projects of an entity")
        case [entity, project]:
            page = _Page(entity, project)
        case [entity, project, tab] if tab in _PROJECT_TABS:
            page = _Page(entity, project)
        case [entity, project, "runs", run_id] | [entity, project, "runs", run_id, _]:
            _check(run_id)
            page = _Page(entity, project, run_id)
        case [entity, project, "runs", run_id, "files", *names]:
            _check(run_id)
            page = _Page(entity, project, run_id, "/".join(names))
        case [_, _, "runs", run_id, *_]:
            raise ValueError(f"it is the page of something of the run {run_id!r} that is no file")
        case [entity, project, kind, name, *_] if kind in _FILTERS:
            raise ValueError(
                f"it is the page of {_OTHER_PAGES[kind]}; the runs are those of the project {entity}/{project} with "
                f'the filter {{"{_FILTERS[kind]}": "{name}"}}'
            )
        case [_, _, kind, *_] if kind in _OTHER_PAGES:
            raise ValueError(f"it is the page of {_OTHER_PAGES[kind]}")
        case _:
            raise ValueError("it is not the URL of a run's page or of a project's page")
    _check(page.entity)
    _check(page.project)
    return page


def _segments_of(url: str, base_url: str) -> list[str]:
    """Return the parts of a page's URL after the prefix of the server's pages: entity, project, and more."""
    if not url.isprintable() or " " in url:
        raise ValueError("it contains white space or control characters")
    given = urlsplit(url)
    if given.scheme not in ("http", "https"):
        raise ValueError("it is not an http or https URL")
    prefix = _pages(base_url).get(_host_and_port(given))
    if prefix is None:
        host = given.hostname or "?"
        other = f"set WANDB_BASE_URL or base_url to {_CLOUD_API if host in _CLOUD_PAGES else 'its API'} to use that one"
        raise ValueError(
            f"it is a page of the server {host}, and the configured server is {without_secrets(base_url)}; {other}, or "
            "give the path without the server"
        )
    if not given.path.startswith(f"{prefix}/"):
        raise ValueError(f"the server's pages are below {prefix}/")
    return [unquote(s, errors="strict") for s in given.path[len(prefix) :].strip("/").split("/")]


def _pages(base_url: str) -> dict[tuple[str, int | None], str]:
    """Map host and port of each known server to the path before the entity."""
    server = urlsplit(base_url)
    host, port = _host_and_port(server)
    hosts = [host]
    if host.startswith("api."):
        hosts += [host.removeprefix("api."), "app." + host.removeprefix("api.")]
    prefix = server.path.rstrip("/")
    pages = {(name, port): prefix for name in hosts}
    if host.removeprefix("api.") in _CLOUD_PAGES:
        pages |= {(name, None): path for name, path in _CLOUD_PAGES.items()}
    return pages


def _host_and_port(url: SplitResult) -> tuple[str, int | None]:
    default = 443 if url.scheme == "https" else 80
    return url.hostname or "", None if url.port == default else url.port


def _check(part: str) -> None:
    if not part:
        raise ValueError("a part of it is empty")
    # Names of projects may contain blanks.
    if not part.isprintable() or part != part.strip():
        raise ValueError("it contains white space or control characters")
    if part in (".", "..") or not _FORBIDDEN.isdisjoint(part):
        raise ValueError(f"{part!r} cannot be the name of an entity, a project or a run")
