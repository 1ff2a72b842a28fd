"""``wbfiles du``: the sizes of files, summed up folder by folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import aclosing

import attrs
from rich.table import Column, Table

from wbfiles_async import AsyncRun, AsyncRuns
from wbfiles_async._cli.chosen import NAMES_ARE_EXACT, Absence, Chosen
from wbfiles_async._cli.ending import complain
from wbfiles_async._cli.listing import pages_of
from wbfiles_async._cli.nothing import tell_of_nothing
from wbfiles_async._cli.output import Output, check_stdout, console, is_terminal, write_json, write_row
from wbfiles_async._text import printable, size_of

WHOLE = "."
"""The name of the folder that holds all others, as ``du`` calls it."""


@attrs.define
class _Sum:
    size: int = 0
    files: int = 0

    def add(self, size: int) -> None:
        self.size += size
        self.files += 1


class FolderSizes:
    """Sizes of folders, each with all that is below it. Memory grows with the number of folders, not of files.

    Args:
        depth: Levels of folders to show.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._whole = _Sum()
        self._folders: dict[str, _Sum] = {}

    def add(self, place: str, size: int) -> None:
        """Count a file.

        Args:
            place: Its name with the folders.
            size: Its length in bytes.
        """
        self._whole.add(size)
        end = -1
        for _ in range(self._depth):
            end = place.find("/", end + 1)
            if end < 0:
                return
            self._folders.setdefault(place[:end], _Sum()).add(size)

    def rows(self) -> Iterator[tuple[str, int, int]]:
        """Yield folder, size and number of files, largest first, and at last the whole."""
        for folder, total in sorted(self._folders.items(), key=lambda each: (-each[1].size, each[0])):
            yield folder, total.size, total.files
        yield WHOLE, self._whole.size, self._whole.files


async def tell_usage(target: AsyncRun | AsyncRuns, chosen: Chosen, output: Output, depth: int) -> int:
    """Sum up the sizes of what is chosen.

    Returns:
        The exit code.

    Raises:
        click.ClickException: stdout is closed.
        WBFilesError: The listing failed.
    """
    check_stdout()
    sizes, absence, found = FolderSizes(depth), Absence(chosen.names), False
    async with aclosing(pages_of(target, chosen)) as pages:
        async for page in pages:
            for file, place in page:
                sizes.add(place, file.size)
                absence.seen(file.name)
                found = True
    if not found and not absence:
        return await tell_of_nothing(target, chosen, output)
    _write(sizes, output)
    if absence:
        complain("\n".join(error.message for error in absence.errors(target)))
        output.say(NAMES_ARE_EXACT)
    return absence.exit_code(found=found)


def _write(sizes: FolderSizes, output: Output) -> None:
    if not output.json and is_terminal(sys.stdout):
        table = Table(
            Column("Size", justify="right", no_wrap=True),
            Column("Files", justify="right", no_wrap=True),
            Column("Folder", overflow="fold"),
            box=None,
            header_style="bold",
            pad_edge=False,
        )
        for folder, size, files in sizes.rows():
            table.add_row(size_of(size), f"{files:,}", printable(folder))
        console().print(table)
        return
    for folder, size, files in sizes.rows():
        if output.json:
            write_json({"folder": folder, "size": size, "files": files})
        else:
            write_row(size, files, folder)
