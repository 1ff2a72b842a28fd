"""HTML of the objects for notebooks: small tables, in the colours of the theme.

Performs no I/O. Names come from a server and can be anything: everything is escaped here, and nowhere else. URLs are
not shown at all.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import ClassVar, Protocol, TypeVar

from wbfiles_async._models import FileAttributes
from wbfiles_async._text import counted, local_time, printable, size_of

ROWS = 10
"""Maximum files, runs or failures shown; of others only the number."""


class Row(Protocol):
    """A row of a table."""

    _noun: ClassVar[str]
    _columns: ClassVar[tuple[str, ...]]

    def _row(self) -> tuple[str, ...]:
        """Return the columns, known without a request."""
        ...


R = TypeVar("R", bound=Row)


class ShownList(list[R]):
    """A list that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return rows_html(self, complete=True)


def run_html(path: str) -> str:
    """Show a run."""
    return titled("Run", path)


def file_html(file: FileAttributes, run: str) -> str:
    """Show a file; unknown attributes are omitted.

    Args:
        file: The file's attributes.
        run: The path of its run; empty if it has none.
    """
    facts = {
        "run": run,
        "size": "" if file.size_bytes is None else f"{size_of(file.size_bytes)} ({file.size_bytes:,} bytes)",
        "type": file.mimetype,
        "changed": file.updated_at and local_time(file.updated_at),
        "md5": file.md5,
    }
    return titled("File", file.name) + table((), [(name, fact) for name, fact in facts.items() if fact])


def listing_html(kind: str, of: str, listed: Sequence[Row], *, complete: bool, trouble: str = "") -> str:
    """Show a listing as far as it has been read.

    Args:
        kind: ``Files`` or ``Runs``.
        of: The run or project, and the selection.
        listed: The listed items.
        complete: Whether these are all.
        trouble: Why nothing is listed; empty without an error.
    """
    title = titled(f"{kind} of", of)
    return title + (line(trouble) if trouble else rows_html(listed, complete=complete))


def rows_html(listed: Sequence[Row], *, complete: bool) -> str:
    """Show the first of some files or runs, and their number."""
    if not listed:
        return line("none" if complete else "not listed yet; to_list() lists them")
    first, number = listed[0], counted(len(listed), listed[0]._noun)
    return table(first._columns, [row._row() for row in listed[:ROWS]]) + line(
        number if complete else f"{number} listed so far"
    )


def file_row(file: FileAttributes) -> tuple[str, ...]:
    """Return a file's row in a table of files."""
    return file.name, "-" if file.size_bytes is None else size_of(file.size_bytes), file.mimetype or "-"


def titled(kind: str, name: str) -> str:
    """Show a kind and a name."""
    return f"<div>{kind} <b>{_escaped(name)}</b></div>"


def line(text: str) -> str:
    """Show a remark."""
    return f"<div><i>{_escaped(text)}</i></div>"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Show rows below a head."""
    titles = list(head)
    sides = ["right" if title == "size" else "left" for title in titles]
    top = "".join(map(_cell, repeat("th"), titles, sides))
    lines = ("".join(map(_cell, repeat("td"), row, chain(sides, repeat("left")))) for row in rows)
    return f"<table>{f'<tr>{top}</tr>' if top else ''}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(tag: str, text: str, side: str) -> str:
    return f'<{tag} style="text-align: {side}">{_escaped(text)}</{tag}>'


def _escaped(text: str) -> str:
    return html.escape(printable(text))
