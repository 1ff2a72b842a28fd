"""Paths of the file system, ``ENTITY/PROJECT/RUN/name``, and their details. Performs no I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, TypeAlias

import attrs

from wbfiles_async._fsspec.errors import not_found
from wbfiles_async._models import FileAttributes, ProjectPath, RunPath

__all__ = [
    "ENTITY",
    "FILE",
    "PROJECT",
    "ROOT",
    "RUN",
    "Info",
    "Place",
    "file_info",
    "folder_info",
    "place_at",
    "place_of",
    "run_info",
    "when",
]

Info: TypeAlias = dict[str, object]
"""fsspec's details of a path: ``name``, ``size`` and ``type``, and more if known."""

ROOT: Final = 0
ENTITY: Final = 1
PROJECT: Final = 2
RUN: Final = 3
FILE: Final = 4


@attrs.frozen
class Place:
    """A parsed path.

    Attributes:
        depth: `ROOT`, `ENTITY`, `PROJECT`, `RUN`, or `FILE` for a file or folder of a run.
        entity: User or team.
        project: The project's name.
        run_id: The run's id.
        name: The name in the run.
    """

    depth: int
    entity: str = ""
    project: str = ""
    run_id: str = ""
    name: str = ""

    @property
    def run(self) -> RunPath:
        """The path of the run."""
        return RunPath(self.entity, self.project, self.run_id)

    @property
    def project_path(self) -> ProjectPath:
        """The path of the project."""
        return ProjectPath(self.entity, self.project)

    @property
    def is_possible(self) -> bool:
        """Whether such a path can exist: no part above a run's files is empty."""
        return all((self.entity, self.project, self.run_id)[: self.depth])


def place_of(path: str) -> Place:
    """Parse a path without its protocol. The name of a file is kept unchanged."""
    parts = path.split("/", RUN) if path else []
    return Place(len(parts), *parts)


def place_at(path: str) -> Place:
    """Parse a path without its protocol, and check that it can exist.

    Raises:
        FileNotFoundError: A part of the path above a run's files is empty.
    """
    place = place_of(path)
    if not place.is_possible:
        raise not_found(path)
    return place


def file_info(run: RunPath, file: FileAttributes) -> Info:
    """Return fsspec's details of a file, without URLs, since signed ones are secrets."""
    return {
        "name": f"{run}/{file.name}",
        "size": file.size_bytes,
        "type": "file",
        "md5": file.md5,
        "mimetype": file.mimetype,
        "mtime": when(file.updated_at),
        "id": file.id,
    }


def folder_info(path: str, **known: object) -> Info:
    """Return fsspec's details of an entity, a project, a run, or a folder of a run."""
    return {"name": path, "size": 0, "type": "directory"} | known


def run_info(path: str, name: str | None, state: str | None, created_at: str | None) -> Info:
    """Return fsspec's details of a run."""
    return folder_info(path, display_name=name, state=state, created=when(created_at))


def when(stamp: str | None) -> datetime | None:
    """Parse a time of the server, in UTC unless it states a zone; ``None`` if it is missing or invalid."""
    try:
        moment = datetime.fromisoformat(stamp or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
