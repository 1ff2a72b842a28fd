"""Parses single values of a server's JSON, which may be of any type. Performs no I/O, and never raises.

Real servers send numbers as strings, and null anywhere; usable values are used.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping

__all__ = ["mapping", "project_number", "text", "whole_number"]

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,19}")
_PROJECT_ID = re.compile(rb"ProjectInternalId:([0-9]{1,19})")


def mapping(value: object) -> Mapping[str, object]:
    """Return an object; an empty one for anything else."""
    return value if isinstance(value, (dict, Mapping)) else {}  # dict first: that check is quick


def text(value: object) -> str | None:
    r"""Return a text; ``None`` for anything else, an empty text, or one with a lone surrogate.

    JSON can express ``"\ud800"``, which no request, file or terminal accepts.
    """
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() or _SURROGATE.search(value) is None else None


def whole_number(value: object) -> int | None:
    """Return a non-negative number of up to 63 bits, given as a number or as digits."""
    number = -1
    if isinstance(value, str):
        number = int(value) if _WHOLE_NUMBER.fullmatch(value) else -1
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    return number if 0 <= number < 2**63 else None


def project_number(value: object) -> int | None:
    """Return the project's number, which some servers wrap as base64 of ``ProjectInternalId:123``."""
    if isinstance(value, str) and not _WHOLE_NUMBER.fullmatch(value):
        try:
            match = _PROJECT_ID.fullmatch(binascii.a2b_base64(value))
        except ValueError:
            return None
        value = match[1].decode() if match else None
    return whole_number(value)
