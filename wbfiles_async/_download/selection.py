"""Selects files by shell patterns on their names. Performs no I/O."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

import attrs

from wbfiles_async.errors import ConfigurationError

__all__ = ["MOST_NAMES", "Selection", "read_texts"]

# A query contains all the names; this number is never too long for a server.
MOST_NAMES = 100

_SPECIAL = re.compile(r"\[!?\]?[^]]*\]|[*?\[\\%]")


def read_texts(what: str, given: Iterable[str], noun: str = "patterns") -> tuple[str, ...]:
    """Return a collection of texts, such as a generator, as a tuple.

    Args:
        what: The name of the argument, for messages.
        given: Its value.
        noun: What the texts are, for messages. Defaults to patterns.

    Raises:
        ConfigurationError: It is one string or no collection, or holds something other than strings.
    """
    if isinstance(given, str | bytes):
        raise ConfigurationError(f"{what} is a list of {noun}; give {what}=[{given!r}], not one string.")
    try:
        texts = tuple(given)
    except TypeError:
        raise ConfigurationError(f"{what} is a list of {noun}, not {given!r}.") from None
    for each in texts:
        if not isinstance(each, str):
            raise ConfigurationError(f"{what} is a list of {noun}; {each!r} in it is not a string.")
    return texts


def _patterns(what: str, given: Iterable[str]) -> tuple[str, ...]:
    globs = read_texts(what, given)
    if not all(globs):
        raise ConfigurationError(f"An empty pattern in {what} matches no file; '*' matches all.")
    return tuple(f"{glob}*" if glob.endswith("/") else glob for glob in globs)


def _included(given: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if given is None else _patterns("include", given)


def _excluded(given: Iterable[str]) -> tuple[str, ...]:
    return _patterns("exclude", given)


def _compile(globs: tuple[str, ...] | None) -> re.Pattern[str] | None:
    return re.compile("|".join(map(fnmatch.translate, globs))) if globs else None


@attrs.frozen
class Selection:
    """A selection of files.

    The patterns are those of ``fnmatch``: ``*``, ``?``, ``[seq]`` and ``[!seq]``, on the whole remote name
    and case-sensitive on every system. ``*`` and ``?`` cross ``/``, so that ``*.json`` means the JSON files
    of all folders. A pattern with ``/`` at its end means all files of that folder: ``media/`` is ``media/*``.

    Attributes:
        include: A file must match one of these, so an empty tuple selects no file; ``None`` selects every file.
        exclude: A file must match none of these.

    Raises:
        ConfigurationError: A pattern is empty, or the argument is not a collection of strings.
    """

    include: tuple[str, ...] | None = attrs.field(default=None, converter=_included)
    exclude: tuple[str, ...] = attrs.field(default=(), converter=_excluded)
    _named: frozenset[str] = attrs.field(init=False, repr=False, eq=False)
    _included: re.Pattern[str] | None = attrs.field(init=False, repr=False, eq=False)
    _excluded: re.Pattern[str] | None = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        # Names without wildcards are looked up in a set; each pattern is compared.
        named = frozenset(glob for glob in self.include or () if _SPECIAL.search(glob) is None)
        object.__setattr__(self, "_named", named)
        object.__setattr__(self, "_included", _compile(tuple(glob for glob in self.include or () if glob not in named)))
        object.__setattr__(self, "_excluded", _compile(self.exclude))

    def accepts(self, name: str) -> bool:
        """Return whether the file of this remote name is selected."""
        if self.include is not None and not (
            name in self._named or (self._included is not None and self._included.match(name) is not None)
        ):
            return False
        return self._excluded is None or self._excluded.match(name) is None

    @property
    def is_empty(self) -> bool:
        """Whether no file can be selected, since the list of patterns to include was given and is empty."""
        return self.include == ()

    @property
    def selects_all(self) -> bool:
        """Whether there is no selection, so that every file is selected."""
        return self.include is None and not self.exclude

    @property
    def is_narrow(self) -> bool:
        """Whether ``include`` leaves names out: it was given, and no pattern in it consists of wildcards alone."""
        return self.include is not None and not any(set(glob) <= {"*", "?"} for glob in self.include)

    @property
    def names(self) -> tuple[str, ...]:
        """The only names that can be selected, if known, so that only these need to be requested."""
        include = self.include or ()
        plain = len(include) <= MOST_NAMES and all(_SPECIAL.search(glob) is None for glob in include)
        return include if plain else ()

    @property
    def pattern(self) -> str | None:
        """An SQL LIKE pattern that includes all selected names; ``None`` if it would be all names.

        It may match more, since nothing is escaped (servers differ in how) and LIKE has no character sets.
        """
        if self.include is None or len(self.include) != 1 or self.names:
            return None
        like = re.sub("%+", "%", _SPECIAL.sub("%", self.include[0]))
        return None if like == "%" else like
