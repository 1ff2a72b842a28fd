"""From shell patterns to what the server compares. Performs no I/O."""

from __future__ import annotations

import re

import attrs

from wbfiles_async._fsspec.places import RUN

__all__ = ["Pushed", "has_magic", "like_of", "pushed"]

_MAGIC = re.compile(r"[*?[]")
# What SQL's LIKE could take for something else, since servers differ in how it is escaped; and what it does not know.
_VAGUE = re.compile(r"\[[^]]*\]|[*\\%]+|\[")


@attrs.frozen
class Pushed:
    """What of a pattern the server compares. It may list more than is wanted, and never less.

    Attributes:
        runs: The beginning of the ids of the runs; empty for all.
        like: SQL's LIKE for the names in a run; ``None`` for all.
    """

    runs: str = ""
    like: str | None = None


def has_magic(path: str) -> bool:
    """Return whether a path is a pattern."""
    return _MAGIC.search(path) is not None


def pushed(path: str) -> Pushed | None:
    """Return what the server can compare of a pattern for whole paths; ``None`` if it has no run or file in it."""
    parts = path.split("/", RUN)
    if len(parts) < RUN or any(map(_MAGIC.search, parts[: RUN - 1])):
        return None
    run_id, name = parts[RUN - 1], parts[RUN] if len(parts) > RUN else ""
    if "**" in run_id:
        return None
    stem = _MAGIC.split(run_id, maxsplit=1)[0]
    return Pushed(stem, like_of(name) if name else None)


def like_of(pattern: str) -> str | None:
    """Return SQL's LIKE that finds what a pattern matches, and all that lies below a folder that it matches.

    ``None`` if that would be all.
    """
    # In ** the slash beside it may be left out: a/**/b is a/b too.
    vague = _VAGUE.sub("%", pattern.replace("**/", "**").replace("/**", "**")).replace("?", "_")
    like = re.sub("%+", "%", vague + "%")
    return None if like == "%" else like
