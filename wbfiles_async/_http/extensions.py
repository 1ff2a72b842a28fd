"""Extensions of responses beyond httpx's interface, in ``response.extensions``.

If the transport supports it, a response has a ``"drain"``: it receives the body in a worker thread, directly into a
sink, and then sends further requests over the same connection, which is renewed if the server closes it. Any other
response is read from its stream. It also has ``"answer_seconds"``: the seconds until the response began, without the
time to connect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import attrs
import httpx

from wbfiles_async._http.http1 import ResponseHead

__all__ = [
    "BatchEnd",
    "Drain",
    "FollowUp",
    "NextFollowUp",
    "Pause",
    "Sink",
    "StallLimit",
    "answer_seconds_of",
    "drain_of",
]


class Sink(Protocol):
    """Takes one response body, in order. Called in worker threads, and may block.

    A piece is valid until the next call of either method has returned.
    """

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next piece. An exception ends the response."""
        ...

    def complete(self) -> None:
        """Record that the body is complete."""
        ...


class FollowUp(Protocol):
    """A further GET with the same header fields, over the connection of a response. Used in a worker thread."""

    @property
    def target(self) -> str:
        """The path and query, exactly as they are sent; ASCII."""
        ...

    @property
    def length(self) -> int:
        """Length of the expected body in bytes, at least 1. The whole body is buffered."""
        ...

    @property
    def sink(self) -> Sink:
        """Takes the body, in one piece."""
        ...

    def accepts(self, head: ResponseHead) -> bool:
        """Return whether the body that follows this head is the expected one."""
        ...


@attrs.frozen
class Pause:
    """A pause: there is no follow-up now, but there may be one soon.

    Attributes:
        seconds: Maximum seconds until the next follow-up is requested again.
    """

    seconds: float


NextFollowUp = Callable[[Callable[[], None]], "FollowUp | Pause | None"]
"""Returns the next follow-up, or ``None`` to end. Called in a worker thread.

Its argument is a function that any thread may call during a pause to request the next follow-up at once.
"""


@attrs.frozen
class StallLimit:
    """The minimum that a connection must deliver.

    Attributes:
        seconds: Length of the window in seconds.
        least: Minimum bytes of each window.
    """

    seconds: float
    least: int


@attrs.frozen(eq=False)
class BatchEnd:
    """The outcome of a drain with follow-ups.

    Attributes:
        unfinished: The last follow-up sent, if its response was not processed; ``None`` if all were.
        response: That response, unread, if there is one.
        error: Why there is none; ``None`` if the server closed the connection before it read the request, which can
            then be sent again.
    """

    unfinished: FollowUp | None = None
    response: httpx.Response | None = None
    error: Exception | None = None


class Drain(Protocol):
    """Receives the body of one response in a worker thread."""

    async def __call__(
        self,
        sink: Sink,
        stall: StallLimit,
        *,
        next_follow_up: NextFollowUp | None = None,
        on_completed: Callable[[int], None] | None = None,
    ) -> BatchEnd:
        """Receive the body, then one follow-up after the other.

        Args:
            sink: Takes the body.
            stall: When the connection counts as stalled.
            next_follow_up: Returns the next follow-up.
            on_completed: Called in the event loop with the number of complete bodies: every few hundredths of a
                second, and when a pause begins.

        Raises:
            httpx.TransportError: The connection failed or stalled within the first body; the sink has what arrived.
            Exception: The exception of a sink.
        """
        ...


def drain_of(response: httpx.Response) -> Drain | None:
    """Return the response's drain, if its transport has one, as `transport.DrainingTransport` does."""
    return cast("Drain | None", response.extensions.get("drain"))


def answer_seconds_of(response: httpx.Response) -> float | None:
    """Return the seconds from the request to the response's head, if its transport states them."""
    return cast("float | None", response.extensions.get("answer_seconds"))
