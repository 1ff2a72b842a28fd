"""What the benchmarks' runs hold: files of known size and content. Knows of no server."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import attrs

MIB = 1 << 20

Door = Literal["http", "https", "limited"]
"""The store's ways in: plain, over TLS, or with a rate limit on each connection."""

Way = Literal["direct", "tinyproxy", "squid", "excluded", "other scheme"]
"""How the store is reached: directly; by a proxy; directly, though the environment names a proxy, which ``NO_PROXY``
excludes or which is for https, and the store is not."""


@attrs.frozen
class StagedRun:
    """A run of the benchmarks, or a project of several runs that have the same files.

    Attributes:
        files: How many, in each run.
        size: Bytes of each.
        distinct: Whether each has a content of its own; else one file on the disk answers for all of them.
        sparse: Whether the content is zeros that take no place on the disk.
        door: Which way into the store the files' URLs lead.
        latency: Seconds that the API takes longer for each answer on this run.
        first_byte: Seconds after which the store begins each response, as one far away does.
        slow_disk: Seconds that each metadata call takes on the disk that the files go to; 0 for memory.
        way: How the store is reached.
        runs: How many runs. With more than one, ``run_id`` is the name of their project.
        uploaded: Whether the files are to be uploaded: the API lists those of them that the store was sent.
    """

    files: int = 1
    size: int = MIB
    distinct: bool = True
    sparse: bool = False
    door: Door = "http"
    latency: float = 0.0
    first_byte: float = 0.0
    slow_disk: float = 0.0
    way: Way = "direct"
    runs: int = 1
    uploaded: bool = False

    @property
    def folder(self) -> str:
        """Name of the folder that the store has them in; runs of the same content share it."""
        return f"{self.files if self.distinct else 1}x{self.size}{'-sparse' if self.sparse else ''}"

    @property
    def run_id(self) -> str:
        """The run's id."""
        project = f"{self.runs}x" if self.runs > 1 else ""
        latencies = f"{self.latency * 1000:g}ms-{self.first_byte * 1000:g}ms"
        sent = "-uploaded" if self.uploaded else ""
        way = self.way.replace(" ", "-")
        return f"{project}{self.files}x{self.size}-{self.folder}-{self.door}-{latencies}-{way}{sent}"

    def __str__(self) -> str:
        unit, name = (MIB, "MiB") if self.size >= MIB else (1024, "KiB") if self.size >= 1024 else (1, "bytes")
        latency = "".join(f", {each * 1000:g} ms" for each in (self.latency, self.first_byte) if each)
        project = f"{self.runs:,} runs of " if self.runs > 1 else ""
        return f"{project}{self.files:,} × {self.size // unit:,} {name}{latency}"

    @property
    def count(self) -> int:
        """Files of all runs."""
        return self.runs * self.files

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return self.count * self.size

    def places(self) -> Iterator[tuple[str, int]]:
        """Yield where each file is below the root when all is downloaded, and its number in its run."""
        for run in range(self.runs):
            folder = f"{run_name_of(run)}/" if self.runs > 1 else ""
            for index in range(self.files):
                yield folder + name_of(index), index

    def url_path(self, name: str) -> str:
        """Return the path under which the store has the file of this name."""
        place = f"/{self.folder}/{name}" if self.distinct else f"/same/{self.folder}/{name}"
        return f"/after/{self.first_byte:.3f}{place}" if self.first_byte else place


def name_of(index: int) -> str:
    """Return the name of a run's file."""
    return f"f{index:06d}.bin"


def run_name_of(index: int) -> str:
    """Return the id of a project's run."""
    return f"r{index:05d}"


def write_files(run: StagedRun, folder: Path) -> list[str]:
    """Write the files of a run.

    Returns:
        The md5 of each file, as W&B states it; one for all where they are not distinct.
    """
    folder.mkdir(exist_ok=True)
    return [_write_file(run, folder / name_of(index)) for index in range(run.files if run.distinct else 1)]


def _write_file(run: StagedRun, path: Path) -> str:
    digest = hashlib.md5()
    with path.open("xb") as file:
        if run.sparse:
            file.truncate(run.size)
        for piece in _pieces(run):
            digest.update(piece)
            if not run.sparse:
                file.write(piece)
    return base64.b64encode(digest.digest()).decode()


def _pieces(run: StagedRun) -> Iterator[memoryview]:
    block = memoryview(bytes(MIB) if run.sparse else os.urandom(min(MIB, run.size)))
    for start in range(0, run.size, MIB):
        yield block[: run.size - start]


def check_files(run: StagedRun, root: Path, md5s: list[str]) -> str:
    """Compare what was downloaded with what was to be.

    Returns:
        What is wrong, or an empty text.
    """
    there = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and path.name[0] != "."}
    wanted = {place for place, _ in run.places()}
    if there != wanted:
        return f"{len(wanted - there)} files missing, {len(there - wanted)} too many"
    for place, index in run.places():
        with (root / place).open("rb") as file:
            digest = hashlib.file_digest(file, "md5").digest()
        if base64.b64encode(digest).decode() != md5s[index % len(md5s)]:
            return f"{place} has other bytes"
    return ""
