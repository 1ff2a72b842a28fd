"""Writes tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.data import MIB


def render(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, its first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join([cells[0].ljust(widths[0]), *padded[1:]])} |\n"

    return "".join(map(line, (header, rule, *rows)))


def seconds(value: float) -> str:
    """Format seconds, with one decimal from ten on."""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def milliseconds(value: float | None) -> str:
    """Format seconds as milliseconds; empty if unknown."""
    return "" if value is None else f"{value * 1000:.1f}"


def mebibytes(value: int) -> str:
    """Format bytes as MiB; empty if unknown."""
    return f"{value / MIB:.0f}" if value else ""


def count(value: int) -> str:
    """Format a count; empty if it is zero or unknown."""
    return f"{value:,}" if value else ""


def replace_rest(file: Path, heading: str, text: str) -> None:
    """Replace the text below a heading of a Markdown file, to its end."""
    kept, found, _ = file.read_text(encoding="utf-8").partition(f"\n{heading}\n")
    if not found:
        raise ValueError(f"{file} has no heading {heading!r}")
    file.write_text(f"{kept}{found}\n{text}", encoding="utf-8")
