"""Parse the forms in which users name a run or a project. Performs no I/O."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable
from urllib.parse import unquote

from wbfiles_async.errors import ConfigurationError

__all__ = ["HasPath", "RunLike", "path_text"]


@runtime_checkable
class HasPath(Protocol):
    """A run of ``wandb``, of its public API or of a script that logs, or one of this package."""

    @property
    @abstractmethod
    def path(self) -> str | Sequence[str]:
        """Entity, project and id, as a text or in parts."""


RunLike = str | Sequence[str] | HasPath
"""What names a run: its path as a text, the parts of it, or a run."""


def path_text(named: object) -> str:
    """Return the path of a text, a sequence of parts, or an object with a ``path``.

    W&B's own ``Run.path`` quotes its parts as for a URL, ``my%20project``; no name on W&B holds a ``%``.

    Raises:
        ConfigurationError: It is none of these, or a part cannot be a name.
    """
    given = named if isinstance(named, str | Sequence) else named.path if isinstance(named, HasPath) else None
    if isinstance(given, str):
        return given if "://" in given or "%" not in given else "/".join(map(_unquoted, given.split("/")))
    if isinstance(given, Sequence) and given and all(isinstance(part, str) for part in given):
        return "/".join(_unquoted(part) for part in given).lstrip("/")  # an unknown entity is empty
    raise ConfigurationError(
        "A run is named by its path, such as 'entity/project/run_id', by the parts of the path in a list, or by a run "
        f"of wandb or of this package, not by {type(named).__name__}."
    )


def _unquoted(part: str) -> str:
    name = unquote(part)
    if "/" in name:
        raise ConfigurationError(f"{part!r} is one part of a path and must not hold a slash.")
    return name
