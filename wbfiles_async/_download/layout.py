"""Decide which folder the files of a run go to when those of many runs are downloaded. Performs no I/O."""

from __future__ import annotations

import re
from typing import Final

import attrs

from wbfiles_async._disk.names import local_parts
from wbfiles_async._models import RunPath
from wbfiles_async.errors import ConfigurationError, UnsafePathError

__all__ = ["FLAT", "Layout"]

_FIELD: Final = re.compile(r"\{(entity|project|run)\}")
_EXAMPLE: Final = RunPath("entity", "project", "run")
_HINT: Final = (
    "Use {entity}, {project} and {run} with '/' between folders, such as '{run}' or '{project}/{run}', "
    "or '' for no folder."
)


def _check(layout: Layout, field: attrs.Attribute[str], text: str) -> None:
    if not {"{", "}"}.isdisjoint(_FIELD.sub("", text)):
        raise ConfigurationError(f"layout={text!r} contains an unknown field. {_HINT}")
    try:
        layout.folder(_EXAMPLE)
    except UnsafePathError as error:
        raise ConfigurationError(f"layout={text!r} names no folder below the root: {error}. {_HINT}") from None


@attrs.frozen
class Layout:
    """Where the files of each run go below the root.

    Attributes:
        text: Folders with ``/`` between them, in which ``{entity}``, ``{project}`` and ``{run}`` stand for those
            of the run; empty if all files go to the root itself.

    Raises:
        ConfigurationError: Another field is used, or it names no folder below the root.
    """

    text: str = attrs.field(validator=_check)

    def folder(self, run: RunPath) -> tuple[str, ...]:
        """Return the folders below the root that the run's files go to.

        Names that come from the server are used literally or refused, as those of files are.

        Raises:
            UnsafePathError: The run's path cannot be used literally.
        """
        if not self.text:
            return ()
        values = {"entity": run.entity, "project": run.project, "run": run.run_id}
        parts = local_parts(_FIELD.sub(lambda field: values[field[1]], self.text))
        if len(parts) != self.text.count("/") + 1:
            raise UnsafePathError(
                f"the run {str(run)!r} cannot be a folder: a part of it contains a '/'", name=str(run)
            )
        return parts


FLAT: Final = Layout("")
"""All files below the root itself, by their names alone."""
