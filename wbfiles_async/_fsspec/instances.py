"""Creates, caches and identifies file systems, without their keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
from fsspec.config import apply_config
from fsspec.spec import _Cached

from wbfiles_async._fsspec.keys import mark_of
from wbfiles_async._options import TransferOptions
from wbfiles_async._settings import home_folder, load_settings

__all__ = ["KeepsKeysOut"]


class KeepsKeysOut(_Cached):
    """The metaclass of cached instances, whose tokens and pickles contain no key."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # of a metaclass
        options = {name: value for name, value in apply_config(cls, kwargs).items() if value is not None}
        if "api_key" in options:
            options["api_key"] = mark_of(str(options["api_key"]))
        if isinstance(given := options.get("options"), TransferOptions):
            options["options"] = _changed(given)
        options["base_url"] = _base_url(options.get("base_url"))  # so that workers use this environment's
        return super().__call__(*args, **options)


def _changed(options: TransferOptions) -> dict[str, object]:
    """Return the options that differ from the defaults, as JSON values."""
    usual, given = attrs.asdict(TransferOptions()), attrs.asdict(options)
    return {name: value for name, value in given.items() if value != usual[name]}


def _base_url(given: str | None) -> str:
    settings = load_settings(
        None,
        timeout=None,
        base_url=given,
        entity=None,
        project=None,
        environ=os.environ,
        home=home_folder(),
        folder=Path(),
    )
    return settings.base_url
