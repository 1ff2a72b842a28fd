"""Regular expressions that a client sends, of which none can hold up the server. Performs no I/O.

Python's ``re`` cannot be interrupted, and nothing else in the process runs meanwhile. So the steps that an expression
could take at most are estimated first: without groups that repeat, each quantifier multiplies them by the length of the
text, and each alternative by two.
"""

from __future__ import annotations

import re
from typing import Final

_MOST_STEPS: Final = 10_000_000
_LONGEST: Final = 1000  # characters of an expression

# An escape, a class, an opening group with what it is said to be, a quantifier, or one character.
_PART: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!]|<[=!]|i\)))?|\{\d*,?\d*\}|.", re.DOTALL)


class RegexError(ValueError):
    """An expression that is malformed, or could take too long."""


def search(expression: str, text: str) -> bool:
    """Return whether an expression is found in a text.

    Raises:
        RegexError: It is malformed, longer than 1,000 characters, repeats a group, or could take more than ten million
            steps for this text.
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
    """Estimate the steps of a search from above.

    Raises:
        RegexError: A group repeats, or is of a kind that is not known here.
    """
    steps, before = length + 1, ""  # a search may begin anywhere
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
