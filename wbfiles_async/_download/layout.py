"""Determines the folder of each run's files in a download of many runs. Performs no I/O."""

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
    """The folders of each run's files below the root.

    Attributes:
        text: Folders separated by ``/``, with ``{entity}``, ``{project}`` and ``{run}`` for those of the run; empty
            for the root itself.

    Raises:
        ConfigurationError: Another field is used, or it names no folder below the root.
    """

    text: str = attrs.field(validator=_check)

    def folder(self, run: RunPath) -> tuple[str, ...]:
        """Return the folders of the run's files below the root.

        Names from the server are used literally or refused, like those of files.

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
"""All files below the root itself, by their names."""
