"""Read what a user gives to name a run. Performs no I/O, and knows no default entity."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

from wbfiles_async._models import RunPath
from wbfiles_async._protocol.urls import without_secrets
from wbfiles_async.errors import ConfigurationError

__all__ = ["parse_run_path"]

_FORMS = "use entity/project/run_id, entity/project/runs/run_id, project/run_id, run_id, or the URL of the run's page"

_LONGEST_SHOWN = 200  # characters

# Where the pages of W&B's cloud lie, whatever server is configured: host -> path before the entity.
_CLOUD_PAGES = {"wandb.ai": "", "www.wandb.ai": "", "forge.coreweave.com": "/wandb"}

# W&B forbids these in the names of projects, and ":" "#" "?" "/" in the ids of runs.
_FORBIDDEN = frozenset("/\\#?%:")


def parse_run_path(path: str, *, base_url: str, entity: str | None, project: str | None) -> RunPath:
    """Return the run that a path or the URL of a run's page names.

    A path is read as ``wandb.Api().run`` reads it: also ``project/runs/run_id``, ``/runs/run_id``,
    ``entity/project:run_id`` and ``project:run_id``. Of a URL, the tab (``/files``, ``/logs``), the query and
    the fragment are ignored.

    Args:
        path: What the user gave.
        base_url: The configured server; URLs of its pages are accepted beside those of W&B's cloud.
        entity: Stands in for a missing entity; where it is missing too, the result's entity is empty.
        project: Stands in for a missing project.

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
        shown = without_secrets(path)[:_LONGEST_SHOWN]
        raise ConfigurationError(f"{shown!r} names no run: {error}; {_FORMS}") from None
    run_id = parts.pop()
    named_project = parts.pop() if parts else project
    if not named_project:
        raise ConfigurationError(
            f"the project of run {run_id!r} is not known: give project/run_id, or set WANDB_PROJECT"
        )
    named_entity = parts.pop() if parts else entity
    return RunPath(entity=named_entity or "", project=named_project, run_id=run_id)


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
    if not url.isprintable() or " " in url:
        raise ValueError("it has white space or control characters in it")
    given = urlsplit(url)
    if given.scheme not in ("http", "https"):
        raise ValueError("it is no http or https URL")
    prefix = _pages(base_url).get(_host_and_port(given))
    if prefix is None:
        raise ValueError("it is the URL of another server")
    if not given.path.startswith(f"{prefix}/"):
        raise ValueError(f"the server's pages lie below {prefix}/")
    segments = [unquote(s, errors="strict") for s in given.path[len(prefix) :].strip("/").split("/")]
    if len(segments) < 4 or segments[2] != "runs":
        raise ValueError("it is not the URL of a run's page")
    return [segments[0], segments[1], segments[3]]


def _pages(base_url: str) -> dict[tuple[str, int | None], str]:
    """Map host and port of each server whose pages are known to the path before the entity."""
    server = urlsplit(base_url)
    host, port = _host_and_port(server)
    hosts = [host]
    if host.startswith("api."):
        hosts += [host.removeprefix("api."), "app." + host.removeprefix("api.")]
    prefix = server.path.rstrip("/")
    cloud: dict[tuple[str, int | None], str] = {(name, None): path for name, path in _CLOUD_PAGES.items()}
    return {(name, port): prefix for name in hosts} | cloud


def _host_and_port(url: SplitResult) -> tuple[str, int | None]:
    default = 443 if url.scheme == "https" else 80
    return url.hostname or "", None if url.port == default else url.port


def _check(part: str) -> None:
    if not part:
        raise ValueError("a part of it is empty")
    # Names of projects may have blanks inside.
    if not part.isprintable() or part != part.strip():
        raise ValueError("it has white space or control characters in it")
    if part in (".", "..") or not _FORBIDDEN.isdisjoint(part):
        raise ValueError(f"{part!r} cannot be the name of an entity, a project or a run")
