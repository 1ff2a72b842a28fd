"""Searches for regular expressions of clients, so that none can block the server. Performs no I/O.

Python's ``re`` cannot be interrupted, and nothing else in the process runs meanwhile. So the maximum number of steps of
an expression is estimated first: without repeated groups, each quantifier multiplies it by the length of the text, and
each alternative by two.
"""

from __future__ import annotations

import re
from typing import Final

_MOST_STEPS: Final = 10_000_000
_LONGEST: Final = 1000  # characters of an expression

# An escape, a class, the beginning of a group with its kind, a quantifier, or one character.
_PART: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!]|<[=!]|i\)))?|\{\d*,?\d*\}|.", re.DOTALL)


class RegexError(ValueError):
    """An expression that is malformed, not supported, or could take too long."""


def search(expression: str, text: str) -> bool:
    """Return whether an expression matches anywhere in a text.

    Raises:
        RegexError: The expression is malformed, longer than 1,000 characters, repeats a group, has an unknown kind of
            group, or could take more than ten million steps for this text.
    """
    if len(expression) > _LONGEST:
        raise RegexError(f"$regex: an expression may have {_LONGEST:,} characters, this one has {len(expression):,}")
    if _most_steps(expression, len(text)) > _MOST_STEPS:
        raise RegexError(f"$regex: {expression!r} could take too long for a text of {len(text):,} characters")
    try:
        return re.search(expression, text) is not None
    except (re.error, OverflowError, RecursionError) as error:
        raise RegexError(f"$regex: {expression!r} is no regular expression: {error}") from None


def _most_steps(expression: str, length: int) -> int:
    """Return an upper bound for the steps of a search.

    Raises:
        RegexError: A group is repeated, or of an unknown kind.
    """
    steps, before = length + 1, ""  # a search may start anywhere
    for part in _PART.findall(expression):
        if before == "(" and part == "?":
            raise RegexError(f"$regex: {expression!r} has a group of a kind that this server does not know")
        if part in ("*", "+") or (part[0] == "{" and part[-1] == "}"):
            if before == ")":
                raise RegexError(f"$regex: {expression!r} repeats a group, which could take too long")
            steps *= 1 if part[1:-1].isdigit() else length + 1
        elif part in ("|", "?"):
            steps *= 2
        before = part
    return steps
