"""Distinguishes local folders and object stores among roots. Performs no I/O, and does not import obstore."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import attrs

from wbfiles_async.errors import ConfigurationError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["BucketRoot", "local_root", "read_root"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(/)?")
SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "memory")
"""URL schemes of object stores. ``file`` is a local folder."""

_SHOWN: Final = "s3://bucket/prefix, gs://..., az://..., memory:// or file:///folder"


@attrs.frozen
class BucketRoot:
    """A place in an object store, as the root of files.

    Attributes:
        url: Its URL, for messages; if a store was given, its repr.
        store: The store, if one was given.
    """

    url: str
    store: ObjectStore | None = None


def read_root(root: str | os.PathLike[str] | ObjectStore) -> Path | BucketRoot:
    """Parse a root: a local folder, or a place in an object store.

    Raises:
        ConfigurationError: It is a URL of another kind, holds credentials, or is no root at all.
    """
    if isinstance(root, os.PathLike):
        return _read_path(Path(root))
    if not isinstance(root, str):
        return _read_store(root)
    scheme = _SCHEME.match(root)
    if scheme is None or scheme[2] is None:
        return Path(root)
    return _read_url(root, scheme[1].lower())


def local_root(root: str | os.PathLike[str]) -> Path:
    """Return the local folder of a root.

    Raises:
        ConfigurationError: It is in an object store, which is no destination for single files.
    """
    found = read_root(root)
    if isinstance(found, Path):
        return found
    raise ConfigurationError(
        f"root={found.url!r} is in an object store, and a file by itself is fetched to a local folder. Use "
        "run.files(names=[...]).download(root) for it."
    )


def _read_path(path: Path) -> Path:
    first = path.parts[0] if path.parts else ""
    if first[:-1].lower() in SCHEMES and first.endswith(":"):
        raise ConfigurationError(
            f"root={str(path)!r} is a path, in which the two slashes of a URL have become one. Give the URL as a "
            "string."
        )
    return path


def _read_url(url: str, scheme: str) -> Path | BucketRoot:
    parts = urlsplit(url)
    shown = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if ("@" in parts.netloc and scheme not in ("abfs", "abfss")) or parts.query or parts.fragment:
        raise ConfigurationError(
            f"root={shown!r} contains a user, a query or a fragment. Credentials come from the environment, or from a "
            "store of obstore that is given in place of the URL."
        )
    if scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ConfigurationError(f"root={shown!r} names no folder on this machine; write file:///folder.")
        return Path(unquote(parts.path))
    if scheme not in SCHEMES:
        raise ConfigurationError(
            f"root={shown!r} is not a place that files can be written to. Use {_SHOWN}, or a folder."
        )
    if scheme != "memory" and not parts.netloc:
        raise ConfigurationError(f"root={shown!r} names no bucket. Use {_SHOWN}.")
    return BucketRoot(f"{scheme}://{parts.netloc}{parts.path}".rstrip("/") if scheme != "memory" else url)


def _read_store(store: object) -> BucketRoot:
    kind = type(store)
    if kind.__module__.partition(".")[0] != "obstore" or kind.__name__ in ("LocalStore", "HTTPStore"):
        hint = "For a local folder give its path. " if kind.__name__ == "LocalStore" else ""
        raise ConfigurationError(
            f"root is a folder, a URL or a store of obstore such as S3Store, not {kind.__name__}. {hint}URLs: {_SHOWN}."
        )
    shown = repr(store)
    return BucketRoot(f"{kind.__name__}()" if shown.startswith("<") else shown, store)  # type: ignore[arg-type]  # looked at by its name, see above
