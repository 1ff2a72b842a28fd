"""``wbfiles du``: the sizes of files, summed up by run, by folder or by pattern."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Literal, get_args

import attrs
from rich.table import Column, Table

from wbfiles_async import AsyncRun, AsyncRuns
from wbfiles_async._cli.chosen import NAMES_ARE_EXACT, Absence, Chosen
from wbfiles_async._cli.ending import complain
from wbfiles_async._cli.nothing import explain_nothing
from wbfiles_async._cli.output import Output, check_stdout, console, is_terminal, write_json, write_row
from wbfiles_async._download.selection import Selection
from wbfiles_async._models import FileAttributes
from wbfiles_async._text import printable, size_of

WHOLE = "."
"""The name of the outermost folder, as in ``du``."""

By = Literal["run", "folder", "pattern"]
BYS: tuple[By, ...] = get_args(By)

Groups = Callable[[str], Iterable[str]]
"""A function from a file's name to its groups."""


@attrs.define
class _Sum:
    size: int = 0
    files: int = 0

    def add(self, size: int) -> None:
        self.size += size
        self.files += 1


class Sizes:
    """Sizes of groups of files. Memory grows with the number of groups, not of files.

    Args:
        groups: Returns the groups of a file; possibly none.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._whole = _Sum()
        self._sums: dict[str, _Sum] = {}

    def add(self, name: str, size: int) -> None:
        """Count a file.

        Args:
            name: Its name with the folders.
            size: Its length in bytes.
        """
        self._whole.add(size)
        for group in self._groups(name):
            self._sums.setdefault(group, _Sum()).add(size)

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self._sums)

    def rows(self) -> Iterator[tuple[str, int, int]]:
        """Yield group, size and number of files, largest first, then the total."""
        for group, total in sorted(self._sums.items(), key=lambda each: (-each[1].size, each[0])):
            yield group, total.size, total.files
        yield WHOLE, self._whole.size, self._whole.files


def folders_of(name: str, *, depth: int) -> Iterator[str]:
    """Yield the folders of a file, from the outermost.

    Args:
        name: The file's name with the folders.
        depth: Maximum levels of folders.
    """
    end = -1
    for _ in range(depth):
        end = name.find("/", end + 1)
        if end < 0:
            return
        yield name[:end]


def patterns_of(name: str, *, selections: Sequence[tuple[str, Selection]]) -> Iterator[str]:
    """Yield the patterns that a file matches; without patterns, the one of its extension, such as ``*.png``.

    Args:
        name: The file's name with the folders.
        selections: Each pattern, with what it selects.
    """
    if selections:
        yield from (glob for glob, selection in selections if selection.accepts(name))
        return
    stem, dot, extension = name.rpartition("/")[2].rpartition(".")
    if stem and dot and extension:
        yield f"*.{extension}"


@attrs.frozen
class Usage:
    """The arguments of a summary.

    Attributes:
        by: The grouping; ``None`` for the runs of a project and the folders of a run.
        depth: Levels of folders; a run counts as one if sizes are summed up by run.
    """

    by: By | None
    depth: int

    def groups(self, chosen: Chosen) -> Groups:
        """Return the sizes to fill."""
        if self.by == "pattern":
            globs = dict.fromkeys(chosen.include or ())
            return partial(patterns_of, selections=[(glob, Selection([glob])) for glob in globs])
        return partial(folders_of, depth=self.depth)

    @property
    def label(self) -> str:
        """What the groups are."""
        return "pattern" if self.by == "pattern" else "folder"


async def show_usage(target: AsyncRun | AsyncRuns, chosen: Chosen, output: Output, usage: Usage) -> int:
    """Sum up the sizes of the selected files.

    Returns:
        The exit code.

    Raises:
        click.ClickException: stdout is closed.
        WBFilesError: The listing failed.
    """
    check_stdout()
    sizes, absence, found = Sizes(usage.groups(chosen)), Absence(chosen.names), False
    with_run = isinstance(target, AsyncRuns) and usage.by in (None, "run")
    async with aclosing(_pages_of(target, chosen)) as pages:
        async for run_id, page in pages:
            for file in page:
                sizes.add(f"{run_id}/{file.name}" if with_run else file.name, file.size_bytes or 0)
                absence.seen(file.name)
                found = True
    if not found and not absence:
        return await explain_nothing(target, chosen, output)
    _write(sizes, output, usage.label)
    if absence:
        complain("\n".join(error.message for error in absence.errors(target)))
        output.say(NAMES_ARE_EXACT)
    return absence.exit_code(found=found)


async def _pages_of(
    target: AsyncRun | AsyncRuns, chosen: Chosen
) -> AsyncGenerator[tuple[str, Sequence[FileAttributes]]]:
    """List the selected files, page by page, each with the id of its run."""
    if isinstance(target, AsyncRuns):
        selection = Selection(chosen.include, chosen.selection.exclude)
        async with aclosing(target._attributes(selection, urls=False)) as pages:
            async for run, files in pages:
                yield run.path.run_id, files
        return
    async with aclosing(chosen.of(target)._attributes()) as of_run:
        async for page in of_run:
            yield target.id, [file for file in page if chosen.selection.accepts(file.name)]


def _write(sizes: Sizes, output: Output, label: str) -> None:
    if not output.json and is_terminal(sys.stdout):
        table = Table(
            Column("Size", justify="right", no_wrap=True),
            Column("Files", justify="right", no_wrap=True),
            Column(label.capitalize(), overflow="fold"),
            box=None,
            header_style="bold",
            pad_edge=False,
        )
        for group, size, files in sizes.rows():
            table.add_row(size_of(size), f"{files:,}", printable(group))
        console().print(table)
        return
    for group, size, files in sizes.rows():
        if output.json:
            write_json({label: group, "size": size, "files": files})
        else:
            write_row(size, files, group)
