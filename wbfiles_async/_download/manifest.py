"""Manifests: the result of each file of a download, as JSON lines or parquet. Blocking."""

from __future__ import annotations

import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Protocol, Self

import attrs

from wbfiles_async._disk.names import temporary_name
from wbfiles_async._models import FileStatus
from wbfiles_async._reports import FileResult
from wbfiles_async.errors import ConfigurationError

__all__ = [
    "SUFFIXES",
    "ManifestRow",
    "ManifestWriter",
    "decode_manifest",
    "encode_manifest",
    "is_manifest",
    "latest",
    "read_manifest",
    "row_of",
]

PARQUET: Final = ".parquet"
SUFFIXES: Final = (".jsonl", PARQUET)
"""Suffixes of manifests; files with other suffixes are JSON lines, too."""

ROWS_AT_ONCE: Final = 10_000
"""Rows of a row group of parquet: a few megabytes."""


@attrs.frozen(kw_only=True)
class ManifestRow:
    """One file of a download.

    Attributes:
        run: The run it belongs to, ``entity/project/run_id``.
        name: Its name in the run; empty where the run's files could not be listed.
        path: The local file, or the URL in an object store; ``None`` if the name could not be used.
        size: Length in bytes, 0 if unknown.
        md5: As the server states it, base64; ``None`` if it does not.
        status: As in ``FileResult``.
        verified: Whether the local bytes are those of that md5.
        error: Why it failed; ``None`` otherwise.
    """

    run: str
    name: str
    path: str | None
    size: int
    md5: str | None
    status: FileStatus
    verified: bool
    error: str | None

    @property
    def is_left(self) -> bool:
        """Whether the file is still missing."""
        return self.status in ("failed", "planned")


_COLUMNS: Final = tuple(field.name for field in attrs.fields(ManifestRow))


def row_of(result: FileResult) -> ManifestRow:
    """Return the row of a file's result."""
    error = result.error
    return ManifestRow(
        run=result.run,
        name=result.name,
        path=result.url or (None if result.path is None else str(result.path)),
        size=result.size,
        md5=result.md5,
        status=result.status,
        verified=result.verified,
        error=None if error is None else f"{type(error).__name__}: {error}",
    )


class _Format(Protocol):
    def add(self, row: dict[str, object]) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


class _JsonLines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, row: dict[str, object]) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class _Parquet:
    def __init__(self, file: IO[bytes]) -> None:
        self._arrow, parquet = _pyarrow()
        text, flag, number = self._arrow.string(), self._arrow.bool_(), self._arrow.int64()
        kinds = {"size": number, "verified": flag}
        self._schema = self._arrow.schema([(name, kinds.get(name, text)) for name in _COLUMNS])
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._rows: list[dict[str, object]] = []

    def add(self, row: dict[str, object]) -> None:
        self._rows.append(row)
        if len(self._rows) == ROWS_AT_ONCE:
            self._write()

    def finish(self) -> None:
        self._write()
        self._writer.close()

    def abandon(self) -> None:
        self._writer.close()

    def _write(self) -> None:
        self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()


def _format(suffix: str, file: IO[bytes]) -> _Format:
    return (_Parquet if suffix == PARQUET else _JsonLines)(file)


def encode_manifest(rows: Iterable[ManifestRow], suffix: str) -> bytes:
    """Return the content of a manifest with this suffix.

    Raises:
        ConfigurationError: It is parquet, and pyarrow is not installed.
    """
    content = io.BytesIO()
    manifest = _format(suffix, content)
    for row in rows:
        manifest.add(attrs.asdict(row))
    manifest.finish()
    return content.getvalue()


class ManifestWriter:
    """Writes a manifest, which is published if the block succeeds.

    Args:
        path: The manifest; parquet if it ends with ``.parquet``, else JSON lines.

    Raises:
        ConfigurationError: It is parquet, and pyarrow is not installed.
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.suffix == PARQUET:
            _pyarrow()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = path.with_name(temporary_name(path.name, secrets.token_hex(8)))
        self._file = self._temporary.open("xb")
        try:
            self._format = _format(path.suffix, self._file)
        except BaseException:
            self._drop()
            raise

    def add(self, *results: FileResult) -> None:
        """Write the rows of files' results."""
        for result in results:
            self._format.add(attrs.asdict(row_of(result)))

    def finish(self) -> None:
        """Publish the manifest."""
        try:
            self._format.finish()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self._path)
        finally:
            self._drop()

    def abandon(self) -> None:
        """Discard it, and keep an existing manifest."""
        try:
            self._format.abandon()
        finally:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()

    def _drop(self) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            self._temporary.unlink()


def read_manifest(path: Path) -> Iterator[ManifestRow]:
    """Iterate over the rows of a manifest.

    Raises:
        ConfigurationError: It is no manifest, or it is parquet and pyarrow is not installed.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        yield from _read(file, path)


def is_manifest(path: Path) -> bool:
    """Return whether a file is a manifest, by its name and first row."""
    if path.suffix not in SUFFIXES:
        return False
    try:
        next(read_manifest(path), None)
    except ConfigurationError:
        return False
    return True


def decode_manifest(content: bytes, name: str) -> list[ManifestRow]:
    """Return the rows of a manifest of this name.

    Raises:
        ConfigurationError: It is no manifest, or it is parquet and pyarrow is not installed.
    """
    return list(_read(io.BytesIO(content), Path(name)))


def _read(file: IO[bytes], path: Path) -> Iterator[ManifestRow]:
    try:
        for number, row in enumerate(_rows_of(file, path.suffix), start=1):
            yield _read_row(row, path, number)
    except ConfigurationError:
        raise
    except ValueError as error:  # from JSON, UTF-8 and pyarrow
        raise ConfigurationError(f"{path} is not a manifest of `wbfiles get --manifest`: {error}.") from None


def _rows_of(file: IO[bytes], suffix: str) -> Iterator[object]:
    if suffix != PARQUET:
        yield from map(json.loads, file)
        return
    _, parquet = _pyarrow()
    with parquet.ParquetFile(file) as found:
        for batch in found.iter_batches(batch_size=ROWS_AT_ONCE):
            yield from batch.to_pylist()


def _read_row(given: object, path: Path, number: int) -> ManifestRow:
    if not isinstance(given, Mapping) or not set(_COLUMNS) <= given.keys():
        raise ConfigurationError(
            f"{path} is not a manifest of `wbfiles get --manifest`: row {number} does not describe a file."
        )
    return ManifestRow(**{name: given[name] for name in _COLUMNS})


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise ConfigurationError(
            "Parquet needs pyarrow: python -m pip install pyarrow. A manifest whose name does not end with .parquet is "
            "JSON lines, which needs nothing."
        ) from None


def latest(rows: Iterable[ManifestRow]) -> dict[tuple[str, str], ManifestRow]:
    """Return the last row of each file, by its run and name. Memory grows with the number of files.

    Args:
        rows: The rows of manifests, the oldest first.
    """
    return {(row.run, row.name): row for row in rows}
