"""Converts paths into Windows' form for long paths. Performs no I/O."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["extended_path", "openable", "system_path"]

_LONGEST_PLAIN_PATH: Final = 259
"""Maximum characters of a Windows path in the usual form."""

_VERBATIM: Final = "\\\\?\\"


def system_path(path: Path) -> str:
    """Return a path for the operating system: absolute, and on Windows in the form for long paths."""
    absolute = os.path.abspath(path)  # noqa: PTH100  # which keeps links, and takes ".." away
    return extended_path(absolute) if os.sep == "\\" else absolute


def openable(path: Path) -> Path:
    """Return a path in a form that can be opened, however long it is."""
    text = system_path(path)
    return Path(text) if len(text) > _LONGEST_PLAIN_PATH and text.startswith(_VERBATIM) else path


def extended_path(path: str) -> str:
    r"""Return an absolute Windows path in the form that may be longer than 260 characters.

    In this form, ``\\?\C:\folder`` or ``\\?\UNC\server\share``, Windows also uses names literally: it keeps dots and
    blanks at the end, and has no device names.

    Source:
        "Naming Files, Paths, and Namespaces", Microsoft.
    """
    if path.startswith((_VERBATIM, "\\\\.\\")):
        return path
    return f"{_VERBATIM}UNC{path[1:]}" if path.startswith("\\\\") else _VERBATIM + path
