"""The location of a plan and its reports: a folder that all workers share, or a place in an object store. Blocking."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import attrs

from wbfiles_async._bucket.roots import read_root
from wbfiles_async._disk.names import temporary_name
from wbfiles_async._gateway import open_bucket
from wbfiles_async._options import TransferOptions
from wbfiles_async.errors import ConfigurationError, LocalReadError, LocalWriteError

__all__ = ["Place", "open_place", "shared_root"]


class Place(Protocol):
    """Stores small files by name."""

    @property
    def url(self) -> str:
        """Its name for messages, by which it can be opened on another machine."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a file's content; ``None`` if there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        ...

    def names(self) -> list[str]:
        """Return the names of the files."""
        ...


def shared_root(root: str | os.PathLike[str], what: str) -> str:
    """Return a root in a form for other processes: an absolute path, or a URL.

    Args:
        root: The caller's argument.
        what: The name of the argument, for messages.

    Raises:
        ConfigurationError: It is invalid, or not reachable by other processes.
    """
    if not isinstance(root, str | os.PathLike):
        raise ConfigurationError(
            f"{what} is a folder or a URL such as s3://bucket/prefix, not {type(root).__name__}: each worker opens it "
            "by itself, with credentials of its own."
        )
    found = read_root(root)
    if isinstance(found, Path):
        return str(found.absolute())
    if found.url.startswith("memory:"):
        raise ConfigurationError(f"{what}={found.url!r} is in the memory of one process, which others cannot reach.")
    return found.url


def open_place(at: str | os.PathLike[str]) -> Place:
    """Open a place, without reading or writing.

    Raises:
        ConfigurationError: It cannot be used, or the package obstore, which it needs, is not installed.
    """
    root = read_root(shared_root(at, "at"))
    if isinstance(root, Path):
        return _Folder(root)
    bucket, _ = open_bucket(root, TransferOptions())
    from wbfiles_async._scale.bucket_place import BucketPlace

    return BucketPlace(bucket.store, root.url)


@attrs.frozen
class _Folder:
    _path: Path

    @property
    def url(self) -> str:
        return str(self._path)

    def read(self, name: str) -> bytes | None:
        path = self._path / name
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LocalReadError(f"{path} cannot be read: {error.strerror}.", errno=error.errno, path=path) from error

    def write(self, name: str, data: bytes) -> None:
        path = self._path / name
        temporary = path.with_name(temporary_name(name, secrets.token_hex(8)))
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                with suppress(FileNotFoundError):
                    temporary.unlink()
        except OSError as error:
            message = f"{path} cannot be written: {error.strerror}."
            raise LocalWriteError(message, errno=error.errno, path=path) from error

    def remove(self, name: str) -> None:
        with suppress(OSError):  # leftovers of an earlier attempt are harmless
            (self._path / name).unlink()

    def names(self) -> list[str]:
        try:
            return [entry.name for entry in os.scandir(self._path)]
        except FileNotFoundError:
            return []
        except OSError as error:
            message = f"{self._path} cannot be listed: {error.strerror}."
            raise LocalReadError(message, errno=error.errno, path=self._path) from error
