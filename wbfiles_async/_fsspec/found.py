"""The results of ``find`` below a path: files and their folders. Performs no I/O."""

from __future__ import annotations

import attrs

from wbfiles_async._fsspec.places import FILE, RUN, Info, file_info, folder_info
from wbfiles_async._models import FileAttributes, RunPath

__all__ = ["Found", "parts_of", "prefix_of"]


@attrs.define
class Found:
    """The results of ``find`` below a path.

    Attributes:
        path: The path.
        maxdepth: Maximum levels below the path; ``None`` for all.
        withdirs: Whether folders are included.
        prefix: The beginning of all results, relative to the path.
        infos: The details, by path.
    """

    path: str
    maxdepth: int | None
    withdirs: bool = attrs.field(kw_only=True)
    prefix: str = attrs.field(kw_only=True)
    infos: dict[str, Info] = attrs.field(factory=dict, init=False)

    def needs_files(self, depth: int) -> bool:
        """Return whether the maximum depth includes files."""
        return self.maxdepth is None or len(parts_of(self.path)) + self.maxdepth >= FILE

    def add(self, run: RunPath, file: FileAttributes) -> None:
        """Add a file, and the folders above it."""
        path = f"{run}/{file.name}"
        below = path[len(prefix_of(self.path)) :]
        if not below.startswith(self.prefix):
            return
        levels = below.split("/")
        if self.maxdepth is None or len(levels) <= self.maxdepth:
            self.infos[path] = file_info(run, file)
        if self.withdirs:
            for count in range(1, len(levels)):
                folder = prefix_of(self.path) + "/".join(levels[:count])
                if (self.maxdepth is None or count <= self.maxdepth) and folder not in self.infos:
                    self.infos[folder] = folder_info(folder)

    def add_run(self, run: RunPath) -> None:
        """Add a run, if it is below the path; it may have no files."""
        if len(parts_of(self.path)) < RUN:
            self.add_folder(folder_info(str(run)))

    def add_folder(self, info: Info) -> None:
        """Add an entity, a project or a run."""
        below = str(info["name"])[len(prefix_of(self.path)) :]
        if self.withdirs and below.startswith(self.prefix):
            self.infos.setdefault(str(info["name"]), info)


def parts_of(path: str) -> list[str]:
    """Return the parts of a path."""
    return path.split("/") if path else []


def prefix_of(folder: str) -> str:
    """Return the common beginning of paths in a folder."""
    return folder and f"{folder}/"
