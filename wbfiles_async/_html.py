"""What a notebook shows of the objects: small tables, in whatever colours its theme has. Performs no I/O.

Names come from a server and are whatever somebody called a file: everything is escaped here, and nowhere else.
URLs are not shown at all.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from wbfiles_async._text import counted, printable, seconds_of, size_of

if TYPE_CHECKING:
    from wbfiles_async._models import DownloadReport, FileAttributes

ROWS = 10
"""Files or failures that are shown; of others the number alone."""


def run_html(path: str) -> str:
    """Show a run."""
    return _titled("Run", path)


def file_html(file: FileAttributes, run: str) -> str:
    """Show a file; of what is not known, nothing.

    Args:
        file: What the server says of it.
        run: The path of its run; empty where it has none.
    """
    facts = {
        "run": run,
        "size": "" if file.size_bytes is None else f"{size_of(file.size_bytes)} ({file.size_bytes:,} bytes)",
        "type": file.mimetype,
        "changed": file.updated_at,
        "md5": file.md5,
    }
    return _titled("File", file.name) + _table((), [(name, fact) for name, fact in facts.items() if fact])


def files_html(run: str, selection: str, listed: Sequence[FileAttributes] = (), *, complete: bool = False) -> str:
    """Show the files of a run as far as they have been listed.

    Args:
        run: The path of the run.
        selection: Which of its files, in words; empty for all.
        listed: Those that are known without a request.
        complete: Whether these are all.
    """
    title = _titled("Files of", f"{run}, {selection}" if selection else run)
    if not listed:
        return title + _line("none" if complete else "not listed yet")
    rows = [
        (file.name, "-" if file.size_bytes is None else size_of(file.size_bytes), file.mimetype or "-")
        for file in listed[:ROWS]
    ]
    number = counted(len(listed), "file")
    return title + _table(("name", "size", "type"), rows) + _line(number if complete else f"{number} listed so far")


def report_html(report: DownloadReport) -> str:
    """Show what a download did, and which files failed and why."""
    numbers = {
        "fetched": f"{counted(report.downloaded, 'file')}, {size_of(report.bytes)}" if report.downloaded else "",
        "would be fetched": f"{counted(report.planned, 'file')}, {size_of(report.bytes)}" if report.planned else "",
        "already there": counted(report.kept, "file") if report.kept else "",
        "verified": counted(report.verified, "file") if report.verified else "",
        "failed": counted(report.failed, "file") if report.failed else "",
        "time": seconds_of(report.seconds),
    }
    parts = [
        _titled("Download to", str(report.root)),
        _table((), [("files", f"{report.files:,}"), *((name, number) for name, number in numbers.items() if number)]),
    ]
    if report.failures:
        failures = [(result.name, "" if result.error is None else str(result.error)) for result in report.failures]
        parts.append(_table(("failed", "reason"), failures[:ROWS]))
        if report.failed > ROWS:
            parts.append(_line(f"and {report.failed - ROWS:,} more"))
    return "".join(parts)


def _titled(kind: str, name: str) -> str:
    return f"<div>{kind} <b>{_escaped(name)}</b></div>"


def _line(text: str) -> str:
    return f"<div><i>{_escaped(text)}</i></div>"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = "".join(f'<th style="text-align: left">{_escaped(title)}</th>' for title in head)
    lines = ("".join(f'<td style="text-align: left">{_escaped(cell)}</td>' for cell in row) for row in rows)
    return f"<table>{f'<tr>{titles}</tr>' if titles else ''}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
