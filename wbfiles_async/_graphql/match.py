"""Find files by a dictionary of their attributes. Performs no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from wbfiles_async._graphql.path_uri import path_uri
from wbfiles_async._md5 import parse_md5
from wbfiles_async._models import FileAttributes
from wbfiles_async._urls import is_signed, without_secrets
from wbfiles_async.errors import ConfigurationError

__all__ = ["Match", "parse_match"]

_KEYS: Final = ("id", "name", "url", "direct_url", "sizeBytes", "md5", "mimetype", "updated_at", "path_uri")


def _snake(key: str) -> str:
    return re.sub(r"([A-Z])", lambda capital: "_" + capital[1].lower(), key)


def _camel(key: str) -> str:
    return re.sub(r"_([a-z])", lambda letter: letter[1].upper(), key)


_SPELLINGS: Final = {spelling: _snake(key) for key in _KEYS for spelling in (_snake(key), _camel(key))}


@attrs.frozen
class Match:
    """The required attributes of a file.

    Attributes:
        name: The name to find, which the server can look up; ``None`` for any.
        run_id: The listed run. In W&B's documentation ``id`` is that of the run, but its server returns the file's
            own; both are accepted.
        wanted: The required values by attribute, in snake case.
    """

    name: str | None
    run_id: str | None
    wanted: tuple[tuple[str, str | int | None], ...]

    def accepts(self, file: FileAttributes) -> bool:
        """Return whether the file matches."""
        return all(self._holds(file, attribute, value) for attribute, value in self.wanted)

    def _holds(self, file: FileAttributes, attribute: str, value: str | int | None) -> bool:
        match attribute:
            case "id":
                return value == file.id or (value is not None and value == self.run_id)
            case "name":
                return value == file.name
            case "url":
                return _same_url(value, file.url)
            case "direct_url":
                return _same_url(value, file.direct_url)
            case "size_bytes":
                return value == file.size_bytes
            case "md5":
                return _same_md5(value, file.md5)
            case "mimetype":
                return value == file.mimetype
            case "updated_at":
                return value == file.updated_at
            case _:
                return value == path_uri(file.url, file.direct_url)


def parse_match(match: Mapping[str, object], *, run_id: str | None) -> Match:
    """Parse a dictionary of one or more attributes, each in snake or camel case.

    Args:
        match: Values by attribute. ``sizeBytes`` may be digits, ``md5`` hexadecimal; signed URLs are compared
            without their signature, which differs in each listing.
        run_id: The listed run, if any.

    Raises:
        ConfigurationError: The dictionary is empty, or has a key or a value that no file can have.
    """
    if not match:
        raise ConfigurationError(f"give one or more of {', '.join(_KEYS)}")
    wanted: dict[str, str | int | None] = {}
    for key, given in match.items():
        attribute = _SPELLINGS.get(key)
        if attribute is None:
            raise ConfigurationError(f"{key!r} is not an attribute of a file; valid are {', '.join(_KEYS)}")
        value = _size(given) if attribute == "size_bytes" else _text(key, given)
        if wanted.setdefault(attribute, value) != value:
            raise ConfigurationError(f"{attribute!r} is given twice, with different values")
    name = wanted.get("name")
    return Match(name=name if isinstance(name, str) else None, run_id=run_id, wanted=tuple(wanted.items()))


def _text(key: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ConfigurationError(f"{key!r} must be a string, not {type(value).__name__}")


def _size(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        return int(value)
    raise ConfigurationError("'sizeBytes' must be a whole number of bytes")


def _same_md5(given: object, actual: str | None) -> bool:
    if given == actual:
        return True
    digest = parse_md5(actual)
    return digest is not None and digest == parse_md5(given)


def _same_url(given: object, actual: str | None) -> bool:
    if given == actual:
        return True
    if not isinstance(given, str) or actual is None or not is_signed(actual):
        return False
    return without_secrets(given) == without_secrets(actual)
