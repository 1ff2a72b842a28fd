"""An extension of griffe: what ``help`` shows of the blocking objects, whose text is completed at their import."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import griffe

MODULE = "wbfiles_async._sync.objects"


class BlockingDocstrings(griffe.Extension):
    """Replaces what stands in the text of the module by what the imported objects say."""

    def on_module(self, *, mod: griffe.Module, **_: Any) -> None:
        """Follow griffe, once the module is read."""
        if mod.path != MODULE:
            return
        imported = import_module(MODULE)
        for kind in [each for each in mod.classes.values() if not each.is_alias]:
            whole = getattr(imported, kind.name)
            _replace(kind, whole)
            for function in kind.functions.values():
                _replace(function, inspect.getattr_static(whole, function.name))


def _replace(described: griffe.Object, found: object) -> None:
    if described.docstring is not None and (text := inspect.getdoc(found)):
        described.docstring.value = text
