"""Which files of a run or a project a command is about, and which of the names it was given these do not have."""

from __future__ import annotations

import glob

import attrs

from wbfiles_async._cli.ending import ExitCode
from wbfiles_async._files import AsyncFiles
from wbfiles_async._protocol.selection import Selection
from wbfiles_async._run import AsyncRun
from wbfiles_async._runs import AsyncRuns
from wbfiles_async.errors import RemoteFileNotFoundError

NAMES_ARE_EXACT = "Names are exact and hold the folders; `wbfiles ls` shows them. For patterns use --include."


@attrs.frozen
class Chosen:
    """What ``ls`` and ``get`` select alike.

    Attributes:
        names: Exactly these names; none means all.
        pattern: SQL's LIKE, compared by the server.
        selection: Shell patterns, compared here.
    """

    names: tuple[str, ...]
    pattern: str | None
    selection: Selection

    def of(self, run: AsyncRun) -> AsyncFiles:
        """Select what the server is asked for; ``selection`` is left to the caller."""
        return run.files(self.names or None, self.pattern)

    @property
    def include(self) -> tuple[str, ...] | None:
        """Shell patterns that mean the names as well."""
        return tuple(map(glob.escape, self.names)) if self.names else self.selection.include

    @property
    def expects_files(self) -> bool:
        """Whether particular files were asked for, so that to find none is an error."""
        return bool(self.names) or self.pattern is not None or self.selection.include is not None

    def __bool__(self) -> bool:
        return bool(self.names) or self.pattern is not None or not self.selection.selects_all


class Absence:
    """The names that were asked for and have not been seen.

    Args:
        names: What was asked for.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = dict.fromkeys(names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def seen(self, name: str) -> None:
        """Note that the run has a file of this name."""
        self._names.pop(name, None)

    def errors(self, target: AsyncRun | AsyncRuns) -> list[RemoteFileNotFoundError]:
        """Return one error for each name that the run, or every run of the project, does not have."""
        path = str(target._path)
        told = "No run of the project {} has a" if isinstance(target, AsyncRuns) else "The run {} has no"
        return [
            RemoteFileNotFoundError(f"{told.format(path)} file {name!r}.", name=name, run=path) for name in self._names
        ]

    def exit_code(self, *, found: bool) -> ExitCode:
        """Return what the shell is told: all there, some, or none at all.

        Args:
            found: Whether the run has any of the names.
        """
        if not self:
            return ExitCode.DONE
        return ExitCode.FAILED if found else ExitCode.NOT_FOUND
