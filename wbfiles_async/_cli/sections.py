"""Options grouped by topic in the help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

WHICH: Final = "Which files"
WHERE: Final = "Where to, and how"
SERVER: Final = "Server and network"
OTHER: Final = "Output"
ORDER: Final = (WHICH, WHERE, SERVER, OTHER)

_WIDTH: Final = 24
"""Maximum width of the options column; longer options have their help below."""


class SectionedOption(click.Option):
    """An option with a group in the help."""

    def __init__(self, *args: Any, section: str = OTHER, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups."""
        groups: dict[str, list[tuple[str, str]]] = {section: [] for section in ORDER}
        for option in self.get_params(ctx):
            if isinstance(option, click.Option) and (record := option.get_help_record(ctx)) is not None:
                groups[getattr(option, "section", OTHER)].append(record)
        for section, records in groups.items():
            if records:
                with formatter.section(section):
                    formatter.write_dl(records, col_max=_WIDTH)


def option(section: str, *declarations: str, **attributes: Any) -> Callable[[F], F]:
    """Add an option to a command like ``click.option``, in a group of its help."""
    return click.option(*declarations, cls=SectionedOption, section=section, **attributes)
