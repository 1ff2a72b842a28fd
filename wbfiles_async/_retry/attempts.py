"""The only loop of attempts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from wbfiles_async._retry.failure import RequestFailed

__all__ = ["Attempt", "attempts"]


class Attempt:
    """One attempt: a context manager that records the failure of its block.

    Attributes:
        failure: Why it failed; ``None`` if it succeeded.
    """

    def __init__(self) -> None:
        self.failure: RequestFailed | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, RequestFailed):
            self.failure = error
            return True
        return False


class attempts:  # noqa: N801  # reads as a function: `async for attempt in attempts(recover)`
    """Attempts, until one succeeds.

    Args:
        recover: Awaited after each failure: prepares the next attempt, or raises to end the loop.
    """

    def __init__(self, recover: Callable[[RequestFailed], Awaitable[object]]) -> None:
        self._recover = recover
        self._last: Attempt | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        if self._last is not None:
            if self._last.failure is None:
                raise StopAsyncIteration
            failure, self._last.failure = self._last.failure, None
            await self._recover(failure)
        self._last = Attempt()
        return self._last
