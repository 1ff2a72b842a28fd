"""Paths of the file system for universal_pathlib, which finds them by their protocol."""

from __future__ import annotations

from upath import UPath

__all__ = ["WandbPath"]


class WandbPath(UPath):
    """A path such as ``UPath("wandb://my-team/my-project/1a2b3c4d/config.yaml")``."""

    __slots__ = ()
