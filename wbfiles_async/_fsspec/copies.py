"""Plans which files ``get`` and ``put`` copy where, and reports progress to fsspec's callbacks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import attrs
from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK, Callback

from wbfiles_async._models import FileAttributes, RunPath

__all__ = ["Copies", "Copy", "Progress", "collect_copies", "plan_copies"]


@attrs.frozen
class Copy:
    """One file to copy.

    Attributes:
        run: The run it belongs to.
        file: The file.
        target: The local file.
    """

    run: RunPath
    file: FileAttributes
    target: str


@attrs.frozen
class Copies:
    """Files of one run with the same names below a local folder as below a folder of the run.

    Attributes:
        run: The run.
        within: The folder of the run, with its last slash, which local names leave out; empty for the run itself.
        root: The local folder.
        files: The files.
    """

    run: RunPath
    within: str
    root: str
    files: list[FileAttributes] = attrs.field(factory=list)


def plan_copies(copies: Iterable[Copy]) -> tuple[list[Copies], list[Copy]]:
    """Return groups of files for one bulk download each, and the files that get another name."""
    groups: dict[tuple[RunPath, str, str], Copies] = {}
    renamed = []
    for copy in copies:
        here, there = copy.file.name.split("/"), PurePath(copy.target).parts
        same = next((n for n, (a, b) in enumerate(zip(reversed(here), reversed(there), strict=False)) if a != b), None)
        same = min(len(here), len(there) - 1) if same is None else same
        if not same:
            renamed.append(copy)
            continue
        within = "".join(f"{part}/" for part in here[: len(here) - same])
        root = str(PurePath(*there[: len(there) - same]))
        group = groups.setdefault((copy.run, within, root), Copies(copy.run, within, root))
        group.files.append(copy.file)
    return list(groups.values()), renamed


async def collect_copies(
    fs: AsyncFileSystem, source: str | list[str], target: str | list[str], *, put: bool = False, **options: object
) -> list[tuple[str, str]]:
    """Return pairs of source and target by fsspec's rules for ``get`` or ``put``; for ``get``, create local folders."""
    collected: list[tuple[str, str]] = []

    class _Collector:
        """Records copies instead of making them; otherwise the file system itself."""

        def __getattr__(self, name: str) -> object:
            return getattr(fs, name)

        async def _get_file(self, rpath: str, lpath: str, **_: object) -> None:
            collected.append((rpath, lpath))

        _put_file = _get_file

    rules: Any = AsyncFileSystem._put if put else AsyncFileSystem._get
    await rules(_Collector(), source, target, **options)
    return collected


@attrs.define
class Progress:
    """Reports the bytes of each file to its own callback.

    Args:
        callbacks: The callbacks, by the labels and names of files in reports.
    """

    _callbacks: dict[str, Callback]

    def _of(self, name: str) -> Callback:
        return self._callbacks.get(name, DEFAULT_CALLBACK)

    def started(self, name: str, total: int | None) -> None:
        """Report the length in bytes."""
        self._of(name).set_size(total)

    def advanced(self, name: str, count: int) -> None:
        """Report a number of new bytes."""
        self._of(name).relative_update(count)

    def finished(self, name: str) -> None:
        """Close the file's callback."""
        self._of(name).close()

    def failed(self, name: str, error: Exception) -> None:
        """Close the file's callback."""
        self._of(name).close()
