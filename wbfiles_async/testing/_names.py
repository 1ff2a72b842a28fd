"""Names: which can lie in the folder, and how those of the API are written in Python. Performs no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable

from wbfiles_async._models import RunPath

# Names that the disk holds as other bytes than UTF-8 reach Python with surrogates in them.
_UNUSABLE = re.compile("[\\\\\0\ud800-\udfff]")
_CAPITALS = re.compile(r"(?<=[a-z0-9])[A-Z]+")


class UnusableNameError(ValueError):
    """A name that could leave the folder, or that no file system can hold."""


def check_file_name(name: str) -> str:
    r"""Return a file's name unchanged if it stays below its run on every system.

    What is refused here is neither listed, nor served, nor written: one rule for all three.

    Raises:
        UnusableNameError: The name is empty, absolute, not UTF-8, or holds ``..``, ``\`` or NUL.
    """
    parts = name.split("/")
    if _UNUSABLE.search(name) or any(part in ("", ".", "..") for part in parts):
        raise UnusableNameError(f"{name!r} cannot be the name of a run's file")
    return name


def parse_run(path: str) -> RunPath:
    """Parse ``entity/project/run_id``.

    Raises:
        UnusableNameError: The path has not three parts, or a part is no plain name.
    """
    parts = path.split("/")
    if len(parts) != 3:
        raise UnusableNameError(f"expected entity/project/run_id, got {path!r}")
    return RunPath(*map(check_folder_name, parts))


def check_folder_name(name: str) -> str:
    """Return the name of an entity, a project or a run unchanged if it names one plain folder.

    Raises:
        UnusableNameError: As `check_file_name`; also for a ``/``, and for a leading dot, which marks what the
            server keeps for itself.
    """
    if "/" in name or name.startswith("."):
        raise UnusableNameError(f"{name!r} cannot be the name of an entity, a project or a run")
    return check_file_name(name)


def is_file_name(name: str) -> bool:
    """Return whether `check_file_name` lets a name pass."""
    return _passes(check_file_name, name)


def is_folder_name(name: str) -> bool:
    """Return whether `check_folder_name` lets a name pass."""
    return _passes(check_folder_name, name)


def snake_case(name: str) -> str:
    """Write a camel case name in snake case: ``displayName`` is ``display_name``, ``runID`` ``run_id``."""
    return _CAPITALS.sub(lambda capitals: f"_{capitals[0].lower()}", name)


def _passes(check: Callable[[str], str], name: str) -> bool:
    try:
        check(name)
    except UnusableNameError:
        return False
    return True
