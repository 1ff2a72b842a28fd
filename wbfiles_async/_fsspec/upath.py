"""Paths of the file system for universal_pathlib, which finds the class by its protocol."""

from __future__ import annotations

from typing import Any

from upath import UPath

from wbfiles_async._fsspec.keys import mark_of

__all__ = ["WandbPath"]


class WandbPath(UPath):
    """A path such as ``UPath("wandb://my-team/my-project/1a2b3c4d/config.yaml")``.

    Like the file system, it contains no API key, and so neither shows nor pickles it.
    """

    __slots__ = ()

    @classmethod
    def _transform_init_args(
        cls, args: tuple[Any, ...], protocol: str, storage_options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], str, dict[str, Any]]:
        if storage_options.get("api_key") is not None:
            storage_options = storage_options | {"api_key": mark_of(str(storage_options["api_key"]))}
        return super()._transform_init_args(args, protocol, storage_options)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing, since folders exist as soon as they contain a file.

        Args:
            mode: Has no effect.
            parents: Has no effect.
            exist_ok: Whether an existing folder is allowed. Defaults to false.

        Raises:
            FileExistsError: The folder exists, and ``exist_ok`` is false.
        """
        if not exist_ok and self.exists():
            raise FileExistsError(self.path)
        super().mkdir(mode=mode, parents=parents, exist_ok=exist_ok)
