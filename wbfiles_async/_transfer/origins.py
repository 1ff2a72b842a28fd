"""What one client has learnt of each origin it asks, and the turns that its requests take there.

All transfers to an origin share its pace: they wait together when it throttles, fewer of them go on at once, and
none is sent while it is known to be down. Knows no URLs of files and sends nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from types import TracebackType
from typing import Self

import anyio
import attrs

from wbfiles_async._protocol.backoff import MAX_RETRY_AFTER
from wbfiles_async._protocol.circuit import FILES, Circuit
from wbfiles_async._protocol.pace import Pace
from wbfiles_async._protocol.urls import host_of, origin
from wbfiles_async._settings import TransferOptions
from wbfiles_async.errors import StoreUnavailableError

log = logging.getLogger(__name__)


@attrs.define(eq=False, kw_only=True)
class Origin:
    """One origin.

    Attributes:
        name: ``scheme://host:port``.
        pace: How many requests it takes at once.
        circuit: Whether it is worth asking.
        reachable: Whether the last connection could be made.
        ranged: Whether it serves ranges properly.
    """

    name: str
    pace: Pace
    circuit: Circuit = attrs.field(factory=Circuit)
    reachable: bool = True
    ranged: bool = True
    _longest_pause: float = attrs.field(alias="longest_pause")
    _limiter: anyio.Semaphore = attrs.field(alias="limiter")
    _line: deque[asyncio.Future[None]] = attrs.field(factory=deque, init=False)
    _last_failure: str = attrs.field(default="", init=False)

    def turn(self, file: str) -> Turn:
        """Make a turn, to be waited for by entering it; one place of the limiter is held inside.

        Args:
            file: The file's name, for messages.
        """
        return Turn(self, file)

    @property
    def is_free(self) -> bool:
        """Whether a request could be sent now, without waiting."""
        pace, now = self.pace, time.monotonic()
        in_line = self._line or not self._limiter.value or pace.resumes_at > now or self.circuit.wait(now)
        return pace.has_room and not in_line

    @property
    def admits(self) -> bool:
        """Whether who has a place may send another request at once. For any thread."""
        now = time.monotonic()
        pace = self.pace
        return pace.under_way <= pace.allowed and pace.resumes_at <= now and not self.circuit.wait(now)

    def passed(self, number: int) -> None:
        """Note that the request of this number brought all it asked for."""
        self.circuit.passed(time.monotonic())
        self.pace.passed(number)
        self._admit()

    def throttled(self, number: int, retry_after: float | None) -> float:
        """Note what `Turn.throttled` tells."""
        now, before = time.monotonic(), self.pace.allowed
        self.pace.throttled(
            number, now=now, retry_after=retry_after, longest=self._longest_pause, jitter=random.random()
        )
        seconds = self.pace.resumes_at - now
        if self.pace.allowed != before:
            log.info("%s asks to slow down: %d requests at once, in %.1f s", self.name, self.pace.allowed, seconds)
        return seconds

    def gave_up(self, file: object, error: Exception, *, since: float) -> None:
        """Note that a file used up all its tries here.

        Args:
            file: Identifies it.
            error: Its last one.
            since: When it began to fail, in monotonic seconds.
        """
        self._last_failure = str(error)
        if self.circuit.gave_up(file, time.monotonic(), since=since):
            log.warning("%s failed for %d files in a row; its files fail at once until it is back.", self.name, FILES)

    async def acquire(self, file: str) -> int:
        """Wait for a place here, for the end of a pause, and for a place of the limiter.

        Returns:
            The number of the request that may be sent now.
        """
        await self._enter()
        try:
            while True:
                self._refuse_if_down(file)
                await self._limiter.acquire()
                seconds = self.pace.resumes_at - time.monotonic()
                if seconds <= 0:
                    self.circuit.sent(time.monotonic())
                    return self.pace.send()
                self._limiter.release()
                await anyio.sleep(seconds)
        except BaseException:
            self._leave()
            raise

    def release(self) -> None:
        """Give both places back."""
        self._limiter.release()
        self._leave()

    def _refuse_if_down(self, file: str) -> None:
        seconds = self.circuit.wait(time.monotonic())
        if seconds:
            host = host_of(self.name)
            raise StoreUnavailableError(
                f"{file}: {host} is not asked for another {seconds:.0f} s, since {FILES} files in a row failed there "
                f"and none came through. The last of them: {self._last_failure}",
                name=file,
                host=host,
                retry_after=seconds,
            )

    async def _enter(self) -> None:
        if self.pace.has_room and not self._line:
            self.pace.under_way += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._leave()  # the place was given meanwhile
            raise  # else it is passed over when its time comes

    def _leave(self) -> None:
        self.pace.under_way -= 1
        self._admit()

    def _admit(self) -> None:
        """Give free places to those who wait longest."""
        while self.pace.has_room and self._line:
            place = self._line.popleft()
            if not place.done():
                self.pace.under_way += 1
                place.set_result(None)


@attrs.define(eq=False)
class Turn:
    """One request's turn at an origin. Use as an async context manager; tell its outcome.

    Raises:
        StoreUnavailableError: On entering, where the origin is known to be down.
    """

    _origin: Origin
    _file: str
    _number: int = attrs.field(default=0, init=False)
    _held: bool = attrs.field(default=False, init=False)

    async def __aenter__(self) -> Self:
        if not self._held:
            self._number = await self._origin.acquire(self._file)
            self._held = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the place back, where it is still held."""
        if self._held:
            self._held = False
            self._origin.release()

    def hand_on(self) -> Turn:
        """Give the place to another turn, which is entered already and must be released or left."""
        other = Turn(self._origin, self._file)
        other._number, other._held = self._number, self._held
        self._held = False
        return other

    def passed(self) -> None:
        """Note that the request brought all it asked for."""
        self._origin.passed(self._number)

    def throttled(self, retry_after: float | None) -> float:
        """Note that the origin asked to slow down.

        Args:
            retry_after: Seconds it asked to wait, where it said so.

        Returns:
            Seconds for which nobody asks it.
        """
        return self._origin.throttled(self._number, retry_after)


class Origins:
    """All origins that one client asks.

    Args:
        options: Give the number of connections and the longest pause.
        limiter: Simultaneous requests to all origins together.
    """

    def __init__(self, options: TransferOptions, limiter: anyio.Semaphore) -> None:
        self._options = options
        self._limiter = limiter
        self._by_name: dict[str, Origin] = {}

    def of(self, url: str) -> Origin:
        """Give the origin of a URL."""
        name = origin(url)
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = Origin(
                name=name,
                pace=Pace(self._options.connections),
                longest_pause=min(MAX_RETRY_AFTER, self._options.time_budget),
                limiter=self._limiter,
            )
        return found

    @property
    def avoided(self) -> frozenset[str]:
        """Origins that are not asked while another way is left: not connected to, or known to be down."""
        now = time.monotonic()
        return frozenset(
            name for name, origin in self._by_name.items() if not origin.reachable or origin.circuit.wait(now)
        )

    @property
    def unranged(self) -> frozenset[str]:
        """Origins that do not serve ranges properly."""
        return frozenset(name for name, origin in self._by_name.items() if not origin.ranged)

    @property
    def under_way(self) -> int:
        """Requests that hold a place anywhere."""
        return sum(origin.pace.under_way for origin in self._by_name.values())
