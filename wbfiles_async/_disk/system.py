"""Selects the implementation of folders: by descriptors if the system supports that, otherwise by paths."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from wbfiles_async._disk.folder import Folder

__all__ = ["open_root"]

if sys.platform != "win32" and os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY"):
    from wbfiles_async._disk.posix import PosixFolder

    def open_root(path: Path) -> Folder:
        """Open a folder that the caller names, which may be reached through links."""
        return PosixFolder.at(path)

else:
    from wbfiles_async._disk.portable import PortableFolder

    def open_root(path: Path) -> Folder:
        """Open a folder that the caller names, which may be reached through links."""
        return PortableFolder.at(path)
