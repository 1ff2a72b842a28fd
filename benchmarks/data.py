"""The runs of the benchmarks: files of known size and content. Knows no server."""

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
"""How the store is reached: plain, over TLS, or with a rate limit per connection."""

Way = Literal["direct", "tinyproxy", "squid", "excluded", "other scheme"]
"""The route to the store: direct; through a proxy; direct although the environment names a proxy, because ``NO_PROXY``
excludes the store or the proxy is for https and the store is not."""


@attrs.frozen
class StagedRun:
    """A run of the benchmarks, or a project of several runs with the same files.

    Attributes:
        files: The number of files in each run.
        size: Bytes of each file.
        distinct: Whether each file has its own content; otherwise one file on the disk serves them all.
        sparse: Whether the content is zeros that take no space on the disk.
        door: How the files' URLs reach the store.
        latency: Additional seconds of the API for each response.
        first_byte: Seconds until the store begins each response, like a distant one.
        slow_disk: Seconds of each metadata call on the destination disk; 0 for memory.
        way: The route to the store.
        runs: The number of runs. With more than one, ``run_id`` is the name of their project.
        uploaded: Whether the files are to be uploaded; the API then lists those that the store has received.
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
        """The store's folder for the files; runs of the same content share it."""
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
        """The number of files of all runs."""
        return self.runs * self.files

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return self.count * self.size

    def places(self) -> Iterator[tuple[str, int]]:
        """Yield the expected path of each file below the root, and its number in its run."""
        for run in range(self.runs):
            folder = f"{run_name_of(run)}/" if self.runs > 1 else ""
            for index in range(self.files):
                yield folder + name_of(index), index

    def url_path(self, name: str) -> str:
        """Return the store's path of the file with this name."""
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
        The md5 of each file, as W&B states it; a single one if they are not distinct.
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
    """Compare the downloaded files with the expected ones.

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
