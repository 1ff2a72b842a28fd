"""The slot of one request at an origin, held until its response is read."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import attrs

from wbfiles_async._store.origin_limits import OriginLimits

__all__ = ["Hop", "RequestSlot"]


@attrs.frozen(eq=False)
class Hop:
    """A request with its number at an origin.

    Attributes:
        origin: The origin that it was sent to.
        number: Its number there.
    """

    origin: OriginLimits
    number: int


@attrs.define(eq=False)
class RequestSlot:
    """A request's slot at an origin. Use as an async context manager, and record its outcome.

    Attributes:
        origin: The origin.
        responder: The origin that its request was last sent to, after redirects.

    Raises:
        StoreUnavailableError: On entering, if the origin is known to be down.
    """

    origin: OriginLimits
    _file: str
    responder: OriginLimits = attrs.field(init=False)
    _number: int = attrs.field(default=0, init=False)
    _held: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.responder = self.origin

    @property
    def hop(self) -> Hop:
        """The request, for the origin that the slot is at."""
        return Hop(self.origin, self._number)

    def enter_at_once(self) -> bool:
        """Acquire the place if it is free; return whether it is held."""
        if not self._held and (number := self.origin.acquire_at_once()) is not None:
            self._number, self._held = number, True
        return self._held

    async def __aenter__(self) -> Self:
        if not self._held:
            self._number = await self.origin.acquire(self._file)
            self._held = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Release the place, if it is still held."""
        if self._held:
            self._held = False
            self.origin.release()

    def transfer(self) -> RequestSlot:
        """Move the place to another slot, which counts as entered and must be released or left."""
        other = RequestSlot(self.origin, self._file)
        other._number, other._held = self._number, self._held
        self._held = False
        return other

    def record_success(self, received: int = 0) -> None:
        """Record that the request succeeded, with bytes that nothing else was recorded of."""
        self.origin.record_success(self._number, received)
