"""MySQL's ``LIKE``, for W&B's ``pattern`` argument. Performs no I/O."""

from __future__ import annotations

import re

_ANY = "%"
_ONE = "_"
_ESCAPE = "\\"


def compile_like(pattern: str) -> re.Pattern[str]:
    r"""Compile a LIKE pattern to an expression for ``fullmatch``.

    ``%`` matches any text and ``_`` one character; ``\`` escapes the next character, and stands for itself at the end.
    Case is ignored.

    Source: https://dev.mysql.com/doc/refman/8.4/en/string-comparison-functions.html
    """
    segments = [""]
    characters = iter(pattern)
    for character in characters:
        if character == _ANY:
            segments.append("")
        elif character == _ONE:
            segments[-1] += "."
        else:
            segments[-1] += re.escape(next(characters, _ESCAPE) if character == _ESCAPE else character)
    first, *rest = segments
    expression = first
    if rest:
        *middle, last = rest
        # Each segment has a fixed length, so its leftmost match is as good as any. Atomic groups try no other,
        # so that no pattern takes exponential time.
        expression += "".join(f"(?>.*?{segment})" for segment in middle) + f".*{last}"
    return re.compile(expression, re.DOTALL | re.IGNORECASE)
