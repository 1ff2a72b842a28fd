"""Write paths as Windows takes them however long they are. Performs no I/O."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["extended_path", "openable", "system_path"]

_LONGEST_PLAIN_PATH: Final = 259
"""Characters of a path of Windows in the usual form."""

_VERBATIM: Final = "\\\\?\\"


def system_path(path: Path) -> str:
    """Return a path as it is passed to the operating system: absolute, and for Windows in the form for long ones."""
    absolute = os.path.abspath(path)  # noqa: PTH100  # which keeps links, and takes ".." away
    return extended_path(absolute) if os.sep == "\\" else absolute


def openable(path: Path) -> Path:
    """Return a path in a form in which it can be opened, however long it is."""
    text = system_path(path)
    return Path(text) if len(text) > _LONGEST_PLAIN_PATH and text.startswith(_VERBATIM) else path


def extended_path(path: str) -> str:
    r"""Return an absolute path of Windows in the form that may be longer than 260 characters.

    In this form, ``\\?\C:\folder`` or ``\\?\UNC\server\share``, Windows also takes names literally: it drops no dots
    and blanks, and knows no devices.

    Source:
        "Naming Files, Paths, and Namespaces", Microsoft.
    """
    if path.startswith((_VERBATIM, "\\\\.\\")):
        return path
    return f"{_VERBATIM}UNC{path[1:]}" if path.startswith("\\\\") else _VERBATIM + path
