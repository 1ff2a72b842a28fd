"""The files of a bulk download: as they were listed, and as they were planned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._disk.space import SpaceNeeded
from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async.errors import WBFilesError

__all__ = ["ListedFiles", "PlannedFile", "need_of"]


@attrs.frozen
class ListedFiles:
    """Files of one run, as they were listed together.

    Attributes:
        run: The run, its entity known.
        files: The files.
        folder: Their folders below the root, validated.
        within: A folder of the run, with a trailing slash, that is stripped from their target paths.
        label: The prefix of their names in the progress, to distinguish the files of several runs.
        error: Why the run's files, or the rest of them, could not be listed.
    """

    run: RunPath
    files: Sequence[FileAttributes]
    folder: tuple[str, ...] = ()
    label: str = ""
    within: str = ""
    error: WBFilesError | None = None


@attrs.define(eq=False)
class PlannedFile:
    """One file to download.

    Attributes:
        attributes: Its attributes on the server.
        target: The target path.
        listed: The files that it was listed with.
        taken: Whether its target path exists.
        known: Whether the existing file is known to be right.
        need: The space that it needs, as far as known without reading existing files.
    """

    attributes: FileAttributes
    target: TargetPath
    listed: ListedFiles
    taken: bool = False
    known: bool = False
    need: SpaceNeeded = attrs.field(factory=SpaceNeeded)

    @property
    def path(self) -> str:
        """The file's path below the root."""
        return "/".join(self.target.parts)


def need_of(items: Iterable[PlannedFile]) -> SpaceNeeded:
    """Add up the space that files need."""
    return sum((item.need for item in items), SpaceNeeded())
