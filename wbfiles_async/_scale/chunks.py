"""Divides the runs of a project into chunks for workers. Performs no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import attrs

from wbfiles_async._graphql.shares import HUGE_FILES, Share

__all__ = ["Chunk", "ReportFormat", "divide", "finished_chunks", "incomplete_name", "part_name"]

ReportFormat = Literal["jsonl", "parquet"]

_PART: Final = re.compile(r"part-([0-9a-f]{8})-([0-9]{5,})\.(?:jsonl|parquet)")


@attrs.frozen
class Chunk:
    """Runs that one worker downloads.

    Attributes:
        number: The number of the chunk in the plan, from 0.
        runs: The ids of its runs.
        files: The number of their files, as counted by the server when the plan was made; 0 if unknown.
        part: The share of the files, if several chunks divide a single large run; ``None`` for all.
    """

    number: int
    runs: tuple[str, ...]
    files: int
    part: Share | None = None


def divide(runs: Iterable[tuple[str, int]], *, runs_per_chunk: int, files_per_chunk: int = HUGE_FILES) -> list[Chunk]:
    """Divide runs into chunks, in their order.

    A chunk is full with this number of runs or files. A run with more files is divided among several chunks by a
    hash of the files' names.

    Args:
        runs: The id of each run, and the number of its files.
        runs_per_chunk: Maximum runs per chunk.
        files_per_chunk: Maximum files per chunk, for chunks of a divided run approximately.
    """
    return [
        Chunk(number, tuple(run for run, _ in members), sum(files for _, files in members), part)
        for number, (members, part) in enumerate(_groups(runs, runs_per_chunk, files_per_chunk))
    ]


def _groups(
    runs: Iterable[tuple[str, int]], runs_per_chunk: int, files_per_chunk: int
) -> Iterator[tuple[list[tuple[str, int]], Share | None]]:
    members: list[tuple[str, int]] = []
    held = 0
    for run, files in runs:
        if files > files_per_chunk:
            count = -(-files // files_per_chunk)
            for number in range(count):
                yield [(run, files // count + (number < files % count))], Share(number, count)
            continue
        if members and (len(members) == runs_per_chunk or held + files > files_per_chunk):
            yield members, None
            members, held = [], 0
        members.append((run, files))
        held += files
    if members:
        yield members, None


def part_name(plan: str, number: int, kind: ReportFormat) -> str:
    """Return the name of the manifest of a finished chunk."""
    return f"part-{plan}-{number:05}.{kind}"


def incomplete_name(plan: str, number: int, kind: ReportFormat) -> str:
    """Return the name of the manifest of a chunk in which files failed."""
    return f"part-{plan}-{number:05}.incomplete.{kind}"


def finished_chunks(names: Iterable[str], plan: str) -> set[int]:
    """Return the numbers of a plan's finished chunks, from the names of the existing manifests."""
    found = (_PART.fullmatch(name) for name in names)
    return {int(match[2]) for match in found if match is not None and match[1] == plan}
