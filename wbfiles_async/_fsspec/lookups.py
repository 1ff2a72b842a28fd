"""Looks files up by their names; simultaneous lookups share a request."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import islice
from typing import Final

from wbfiles_async._async.api import AsyncApi
from wbfiles_async._models import FileAttributes, RunPath

__all__ = ["Lookups"]

MOST_NAMES: Final = 100
"""Maximum names in one request, as for selections of names, so that no server refuses its length."""

_Wanted = dict[str, list["asyncio.Future[FileAttributes | None]"]]


class Lookups:
    """The lookups of one client, in one event loop.

    Args:
        api: The client.
    """

    def __init__(self, api: AsyncApi) -> None:
        self._api = api
        self._wanted: dict[RunPath, _Wanted] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, run: RunPath, name: str) -> FileAttributes | None:
        """Return a file of a run; ``None`` if the run has no file of that name.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The request failed.
        """
        loop = asyncio.get_running_loop()
        if not self._wanted:
            loop.call_soon(self._begin)
        found: asyncio.Future[FileAttributes | None] = loop.create_future()
        self._wanted.setdefault(run, {}).setdefault(name, []).append(found)
        return await found

    def _begin(self) -> None:
        wanted, self._wanted = self._wanted, {}
        for run, names in wanted.items():
            left = iter(names.items())
            while some := dict(islice(left, MOST_NAMES)):
                task = asyncio.get_running_loop().create_task(self._look_up(run, some))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _look_up(self, run: RunPath, wanted: _Wanted) -> None:
        found: dict[str, FileAttributes] = {}
        try:
            api = self._api._gateway.api
            async with aclosing(api.pages(run, names=tuple(wanted), per_page=len(wanted))) as pages:
                async for page in pages:
                    found |= {file.name: file for file in page}
        except Exception as error:  # raised by each waiting task
            _settle(wanted, error=error)
        except BaseException:
            for futures in wanted.values():
                for future in futures:
                    future.cancel()
            raise
        else:
            _settle(wanted, found)


def _settle(wanted: _Wanted, found: dict[str, FileAttributes] | None = None, error: Exception | None = None) -> None:
    for name, futures in wanted.items():
        for future in futures:
            if future.done():  # the waiting task was cancelled
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result((found or {}).get(name))
