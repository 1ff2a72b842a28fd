"""The system as the package sees it, which `tests/other_systems` may simulate."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "other_systems"

STAND_IN: str | None = getattr(sys.modules.get("stand_in"), "SYSTEM", None)
"""The simulated system; ``None`` if none is."""

SYSTEM = STAND_IN or sys.platform
"""The system as the package sees it, as in ``sys.platform``."""

WINDOWS = SYSTEM == "win32"


WRITE = "write" if WINDOWS else "pwrite"
"""The function of `os` that writes files."""


def local_file_type() -> type[Any]:
    """Return the class of open files of this system, whose methods a test may replace."""
    if WINDOWS:
        from wbfiles_async._disk.portable import PortableFile

        return PortableFile
    from wbfiles_async._disk.posix import PosixFile

    return PosixFile


def before_each_write(monkeypatch: pytest.MonkeyPatch, call: Callable[[bytes | memoryview, int], object]) -> None:
    """Call something before each write to a local file, with the data and its offset."""
    local_file = local_file_type()
    write = local_file.write

    def called(file: object, data: bytes | memoryview, offset: int) -> object:
        call(data, offset)
        return write(file, data, offset)

    monkeypatch.setattr(local_file, "write", called)


def played(system: str) -> dict[str, str]:
    """Return the environment of a process that simulates another system."""
    return os.environ | {"PYTHONPATH": str(FOLDER), "WBFILES_TESTS_SYSTEM": system}


def posix_only(reason: str) -> pytest.MarkDecorator:
    """Skip a test of something that Windows does not have, with the reason."""
    return pytest.mark.skipif(WINDOWS, reason=f"not on Windows: {reason}")
