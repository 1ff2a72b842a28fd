"""MySQL's ``LIKE``, as W&B's ``pattern`` argument means it. Performs no I/O."""

from __future__ import annotations

import re

_ANY = "%"
_ONE = "_"
_ESCAPE = "\\"


def compile_like(pattern: str) -> re.Pattern[str]:
    r"""Compile a LIKE pattern to an expression for ``fullmatch``.

    ``%`` stands for any text, ``_`` for one character, ``\`` takes the next one literally (at the end:
    itself); case does not matter.

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
        # Each segment has a fixed length, so its leftmost match is as good as any. Atomic groups keep to it,
        # and no pattern takes exponential time.
        expression += "".join(f"(?>.*?{segment})" for segment in middle) + f".*{last}"
    return re.compile(expression, re.DOTALL | re.IGNORECASE)
