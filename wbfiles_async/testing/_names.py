"""Names: which are possible in the folder, and the Python form of those of the API. Performs no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable

from wbfiles_async._models import RunPath

# Python represents names on the disk that are not UTF-8 with surrogates.
_UNUSABLE = re.compile("[\\\\\0\ud800-\udfff]")
_CAPITALS = re.compile(r"(?<=[a-z0-9])[A-Z]+")


class UnusableNameError(ValueError):
    """A name that could lead out of the folder, or that file systems do not support."""


def check_file_name(name: str) -> str:
    r"""Return a file's name unchanged if it stays below its run on every system.

    Files with other names are neither listed, nor served, nor written.

    Raises:
        UnusableNameError: The name is empty, absolute, not UTF-8, or contains ``..``, ``\`` or NUL.
    """
    parts = name.split("/")
    if _UNUSABLE.search(name) or any(part in ("", ".", "..") for part in parts):
        raise UnusableNameError(f"{name!r} cannot be the name of a run's file")
    return name


def parse_run(path: str) -> RunPath:
    """Parse ``entity/project/run_id``.

    Raises:
        UnusableNameError: The path does not have three parts, or a part is not a plain name.
    """
    parts = path.split("/")
    if len(parts) != 3:
        raise UnusableNameError(f"expected entity/project/run_id, got {path!r}")
    return RunPath(*map(check_folder_name, parts))


def check_folder_name(name: str) -> str:
    """Return the name of an entity, a project or a run unchanged if it can be the name of a folder.

    Raises:
        UnusableNameError: As for `check_file_name`, or the name contains ``/``, or begins with a dot like the
            server's own folder.
    """
    if "/" in name or name.startswith("."):
        raise UnusableNameError(f"{name!r} cannot be the name of an entity, a project or a run")
    return check_file_name(name)


def is_file_name(name: str) -> bool:
    """Return whether `check_file_name` accepts a name."""
    return _passes(check_file_name, name)


def is_folder_name(name: str) -> bool:
    """Return whether `check_folder_name` accepts a name."""
    return _passes(check_folder_name, name)


def snake_case(name: str) -> str:
    """Convert a name from camel case to snake case: ``displayName`` to ``display_name``, ``runID`` to ``run_id``."""
    return _CAPITALS.sub(lambda capitals: f"_{capitals[0].lower()}", name)


def _passes(check: Callable[[str], str], name: str) -> bool:
    try:
        check(name)
    except UnusableNameError:
        return False
    return True
