"""Choose files by shell globs on their names. Performs no I/O."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

import attrs

from wbfiles_async.errors import ConfigurationError

__all__ = ["Selection"]

# A query holds all the names; so few never make one that a server finds too long.
_MOST_NAMES = 100

_SPECIAL = re.compile(r"\[!?\]?[^]]*\]|[*?\[\\%]")


def _patterns(globs: Sequence[str]) -> tuple[str, ...]:
    if isinstance(globs, str):
        raise ConfigurationError(f"give a list of patterns, such as [{globs!r}], not one string")
    if any(not glob for glob in globs):
        raise ConfigurationError("an empty pattern matches no file; '*' matches all")
    return tuple(globs)


def _compile(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(fnmatch.translate, globs))) if globs else None


@attrs.frozen
class Selection:
    """Which files are wanted.

    The patterns are those of ``fnmatch``: ``*``, ``?``, ``[seq]`` and ``[!seq]``, on the whole remote name
    and case-sensitive on every system. ``*`` and ``?`` cross ``/``, so that ``*.json`` means the JSON files
    of all folders.

    Attributes:
        include: A file must match one of these; where there are none, every file does.
        exclude: A file must match none of these.

    Raises:
        ConfigurationError: A pattern is empty, or a single string was given for the list.
    """

    include: tuple[str, ...] = attrs.field(converter=_patterns)
    exclude: tuple[str, ...] = attrs.field(converter=_patterns)
    _included: re.Pattern[str] | None = attrs.field(init=False, repr=False, eq=False)
    _excluded: re.Pattern[str] | None = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_included", _compile(self.include))
        object.__setattr__(self, "_excluded", _compile(self.exclude))

    def accepts(self, name: str) -> bool:
        """Tell whether the file of this remote name is wanted."""
        if self._included is not None and self._included.match(name) is None:
            return False
        return self._excluded is None or self._excluded.match(name) is None

    @property
    def names(self) -> tuple[str, ...]:
        """The only names that can be wanted, where that is known: the server can be asked for these alone."""
        plain = len(self.include) <= _MOST_NAMES and all(_SPECIAL.search(glob) is None for glob in self.include)
        return self.include if plain else ()

    @property
    def pattern(self) -> str | None:
        """SQL's LIKE for names among which all that are wanted are found; ``None`` where it would be all names.

        It may match more than is wanted, since nothing is escaped (servers differ in how) and LIKE knows no sets.
        """
        if len(self.include) != 1 or self.names:
            return None
        like = re.sub("%+", "%", _SPECIAL.sub("%", self.include[0]))
        return None if like == "%" else like
