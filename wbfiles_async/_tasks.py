"""Concurrent tasks whose first failure is raised as itself, not wrapped in a group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def open_task_group() -> AsyncIterator[TaskGroup]:
    """Open a task group. When one task fails, the others are cancelled and finished, then its error is raised.

    Neither the error nor its context refers to the group, since IPython shows its traceback differently otherwise.
    """
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as failures:
        error = _first(failures)
        context = error.__context__
        try:
            raise error
        finally:  # the statement above made the group the error's context
            error.__context__ = context
            del error, context  # which refer to this frame


def _first(failures: BaseException) -> BaseException:
    while isinstance(failures, BaseExceptionGroup):
        failures = failures.exceptions[0]
    return failures
