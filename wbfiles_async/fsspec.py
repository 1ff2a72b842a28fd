"""The file system ``wandb://`` for fsspec, pandas, pyarrow, dask, duckdb, zarr and others; needs the extra ``fsspec``.

::

    import fsspec

    with fsspec.open("wandb://my-team/my-project/1a2b3c4d/table.parquet") as file:
        ...

fsspec and ``upath.UPath`` find it by its protocols, ``wandb://`` and ``wbfiles://``, without an import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from wbfiles_async._fsspec.filesystem import WandbFileSystem
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "fsspec":
        raise
    raise ModuleNotFoundError(
        "wbfiles_async.fsspec needs the package fsspec: pip install 'wbfiles-async[fsspec]'", name="fsspec"
    ) from None

WandbFileSystem.__module__ = __name__  # pickles and JSON refer to it by this name

if TYPE_CHECKING:
    from wbfiles_async._fsspec.upath import WandbPath

__all__ = ["WandbFileSystem", "WandbPath"]


def __getattr__(name: str) -> Any:
    if name == "WandbPath":  # requires universal_pathlib, which loads it
        from wbfiles_async._fsspec.upath import WandbPath

        return WandbPath
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
