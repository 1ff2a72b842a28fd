"""Translates shell patterns for the server. Performs no I/O."""

from __future__ import annotations

import re

import attrs

from wbfiles_async._fsspec.places import RUN

__all__ = ["Pushed", "has_magic", "like_of", "pushed"]

_MAGIC = re.compile(r"[*?[]")
# Characters with a special meaning in SQL LIKE, which servers escape differently; and those it does not support.
_VAGUE = re.compile(r"\[[^]]*\]|[*\\%]+|\[")


@attrs.frozen
class Pushed:
    """The part of a pattern that the server evaluates. It may match more than the pattern, never less.

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
    """Return the server's part of a pattern for full paths; ``None`` if the server can evaluate nothing."""
    parts = path.split("/", RUN)
    if len(parts) < RUN or any(map(_MAGIC.search, parts[: RUN - 1])):
        return None
    run_id, name = parts[RUN - 1], parts[RUN] if len(parts) > RUN else ""
    if "**" in run_id:
        return None
    stem = _MAGIC.split(run_id, maxsplit=1)[0]
    return Pushed(stem, like_of(name) if name else None)


def like_of(pattern: str) -> str | None:
    """Return an SQL LIKE pattern that includes all matches of a pattern, and everything below matching folders.

    ``None`` if it would match everything.
    """
    # ** may match nothing, then without a slash of its own: a/**/b also matches a/b.
    vague = _VAGUE.sub("%", pattern.replace("**/", "**").replace("/**", "**")).replace("?", "_")
    like = re.sub("%+", "%", vague + "%")
    return None if like == "%" else like
