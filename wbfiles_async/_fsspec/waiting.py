"""Runs async work from outside its event loop, with fsspec's own functions, which have no type annotations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import fsspec.asyn

__all__ = ["wait_for"]

P = ParamSpec("P")
T = TypeVar("T")


def wait_for(
    loop: asyncio.AbstractEventLoop | None, work: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run work in an event loop of another thread, wait for it, and return its result."""
    sync: Any = fsspec.asyn.sync
    result: T = sync(loop, work, *args, **kwargs)
    return result
