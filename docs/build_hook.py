"""Puts the manual pages into the wheel, below ``share/man``: ``man`` looks there for each environment in ``PATH``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPages(BuildHookInterface[Any]):
    """Writes the pages when a wheel is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages and add them to the wheel. Without click-man it has none."""
        folders = [self.root, str(Path(self.root, "docs"))]
        sys.path[:0] = folders
        try:
            from man import write_pages
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("man", "wbfiles_async"):
                raise
            # A build without isolation may lack the tools for the pages.
            self.app.display_warning(f"no manual pages, since {error.name} is not installed")
            return
        finally:
            for folder in folders:
                sys.path.remove(folder)
        for page in write_pages(Path(self.root, "build", "man")):
            build_data["shared_data"][str(page)] = f"share/man/man1/{page.name}"
