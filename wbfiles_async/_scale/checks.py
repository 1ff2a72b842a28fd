"""Checks of arguments shared by plans and their execution. Performs no I/O."""

from __future__ import annotations

from wbfiles_async.errors import ConfigurationError

__all__ = ["check_whole"]


def check_whole(name: str, value: object, *, least: int) -> None:
    """Check that an argument is a whole number.

    Raises:
        ConfigurationError: It is not, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} is a whole number of {least} or more, not {value!r}.")
