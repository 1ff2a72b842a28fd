"""Writes the manual pages of the command line: ``nox -s man``, and each build of a wheel.

They have the text of ``--help``: Click knows the commands, click-man the format of a page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click
from click_man.man import ManPage

from wbfiles_async import __version__
from wbfiles_async._cli.app import program

BUILD = Path(__file__).parent.parent / "build" / "man"


def write_pages(folder: Path) -> list[Path]:
    """Write a page for each command.

    Args:
        folder: The destination, created if it is missing.

    Returns:
        The pages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages("wbfiles", program, None):
        written.append(folder / f"{name}.1")
        written[-1].write_text(text, encoding="utf-8")
    return written


def pages(name: str, command: click.Command, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Yield the name and text of a command's page, then those of its subcommands."""
    context = click.Context(command, info_name=name, parent=parent)
    below = [
        (each, found)
        for each, found in (command.commands.items() if isinstance(command, click.Group) else ())
        if not found.hidden
    ]
    page = ManPage(context.command_path.replace(" ", "-"))  # type: ignore[no-untyped-call]
    page.date = ""  # the same wheel on each day
    page.version = f"wbfiles {__version__}"
    page.short_help = escaped(_summary(command))
    page.synopsis = " ".join(command.collect_usage_pieces(context))
    page.description = escaped(cleandoc(command.help or "")) + _epilog(command)
    page.options = [
        (record[0], escaped(record[1]))
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)) is not None
    ]
    page.commands = [(each, escaped(_summary(found))) for each, found in below]
    yield page.command, str(page).replace(f"\n.B {page.command}\n", f"\n.B {context.command_path}\n", 1)
    for each, found in below:
        yield from pages(each, found, context)


def escaped(text: str) -> str:
    """Return the text with roff commands escaped."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(limit=200).rstrip(".")


def _epilog(command: click.Command) -> str:
    """Return the end of a help text, with its lines unchanged."""
    if not command.epilog:
        return ""
    return "\n.PP\n.nf\n" + escaped(cleandoc(command.epilog.removeprefix("\b\n")).rstrip()) + "\n.fi"


if __name__ == "__main__":
    print(*write_pages(Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD), sep="\n")
