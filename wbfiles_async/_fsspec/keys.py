"""Keeps keys out of what fsspec shows: instance tokens, ``storage_options``, pickles, JSON. Performs no I/O."""

from __future__ import annotations

import hmac
import os
import re
from typing import Final

__all__ = ["key_of", "mark_of"]

_SALT: Final = os.urandom(16)
"""Random per process and its forks, so that nobody can guess the key of a mark."""

_MARK: Final = re.compile(r"<key [0-9a-f]{32}>")  # never a key: keys consist of letters, digits, "-" and "_"
_keys: dict[str, str] = {}


def mark_of(key: str) -> str:
    """Return the mark of a key; a mark is its own mark."""
    if _MARK.fullmatch(key):
        return key
    mark = f"<key {hmac.new(_SALT, key.encode(), 'sha256').hexdigest()[:32]}>"
    _keys[mark] = key
    return mark


def key_of(mark: str | None) -> str | None:
    """Return the key of a mark; ``None`` if this process does not know it, and must look up credentials itself."""
    return None if mark is None else _keys.get(mark)
