"""The selection of files of a command, and the given names that do not exist."""

from __future__ import annotations

import glob

import attrs

from wbfiles_async import AsyncApi
from wbfiles_async._async.files import AsyncFiles
from wbfiles_async._async.run import AsyncRun
from wbfiles_async._async.runs import AsyncRuns
from wbfiles_async._cli.ending import ExitCode
from wbfiles_async._download.selection import MOST_NAMES, Selection
from wbfiles_async._options import PER_PAGE
from wbfiles_async._text import counted
from wbfiles_async.errors import RemoteFileNotFoundError

NAMES_ARE_EXACT = "Names are exact and include the folders; `wbfiles ls` shows them. For patterns use --include."


@attrs.frozen
class Chosen:
    """The selection of ``ls`` and ``get``.

    Attributes:
        names: Exact names; none means all.
        pattern: An SQL LIKE pattern, evaluated by the server.
        selection: Shell patterns, evaluated here.
        per_page: Files, or runs of a project, per request; ``None`` for the default.
    """

    names: tuple[str, ...]
    pattern: str | None
    selection: Selection
    per_page: int | None = None

    def of(self, run: AsyncRun) -> AsyncFiles:
        """Select files on the server; the caller applies ``selection`` and more names than fit into a request."""
        names = self.names if len(self.names) <= MOST_NAMES else ()
        return run.files(names or None, self.pattern, self.per_page or PER_PAGE)

    def paged(self, runs: AsyncRuns) -> AsyncRuns:
        """Return the runs of a project, with the given page size."""
        return runs if self.per_page is None else attrs.evolve(runs, per_page=self.per_page)

    @property
    def include(self) -> tuple[str, ...] | None:
        """Shell patterns including the names."""
        return tuple(map(glob.escape, self.names)) if self.names else self.selection.include

    @property
    def expects_files(self) -> bool:
        """Whether particular files were requested, so that finding none is an error."""
        return bool(self.names) or self.pattern is not None or self.selection.include is not None

    def __bool__(self) -> bool:
        return bool(self.names) or self.pattern is not None or not self.selection.selects_all


@attrs.frozen
class SeveralRuns:
    """Runs given by their paths.

    Attributes:
        client: The client of the runs.
        runs: The runs.
    """

    client: AsyncApi
    runs: tuple[AsyncRun, ...]


class Absence:
    """The given names that have not been seen.

    Args:
        names: The given names.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = dict.fromkeys(names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def seen(self, name: str) -> None:
        """Record that the run has a file of this name."""
        self._names.pop(name, None)

    def errors(self, target: AsyncRun | AsyncRuns | SeveralRuns) -> list[RemoteFileNotFoundError]:
        """Return an error for each name that the run, or each of the runs, lacks."""
        match target:
            case SeveralRuns(runs=runs):
                path, beginning = "", f"None of the {counted(len(runs), 'run')} has a"
            case AsyncRuns():
                path, beginning = str(target._path), f"No run of the project {target._path} has a"
            case AsyncRun():
                path, beginning = str(target._path), f"The run {target._path} has no"
        return [RemoteFileNotFoundError(f"{beginning} file {name!r}.", name=name, run=path) for name in self._names]

    def exit_code(self, *, found: bool) -> ExitCode:
        """Return the exit code: all names found, some, or none.

        Args:
            found: Whether the run has any of the names.
        """
        if not self:
            return ExitCode.DONE
        return ExitCode.FAILED if found else ExitCode.NOT_FOUND
