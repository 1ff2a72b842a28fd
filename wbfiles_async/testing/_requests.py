"""What was asked of the server, for tests to look at. Knows nothing of how requests are answered."""

from __future__ import annotations

from collections import deque

import attrs


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """One request and the status it was answered with.

    Attributes:
        method: The HTTP method.
        path: The decoded path, without any query: signatures are not recorded.
        status: Status of the answer.
        operation: The GraphQL operation's name; empty elsewhere.
        range: The ``Range`` header.
        if_match: The ``If-Match`` header.
        if_range: The ``If-Range`` header.
        authorized: Whether an ``Authorization`` header came along; its value is not recorded.
        user_agent: The ``User-Agent`` header.
    """

    method: str
    path: str
    status: int
    operation: str = ""
    range: str | None = None
    if_match: str | None = None
    if_range: str | None = None
    authorized: bool = False
    user_agent: str | None = None


class RequestLog:
    """The latest requests, at most a fixed number; safe to read while the server adds."""

    def __init__(self, limit: int) -> None:
        self._requests: deque[RecordedRequest] = deque(maxlen=limit)

    def add(self, request: RecordedRequest) -> None:
        """Remember a request, forgetting the oldest where the log is full."""
        self._requests.append(request)

    def snapshot(self) -> tuple[RecordedRequest, ...]:
        """Return the remembered requests, oldest first."""
        return tuple(self._requests.copy())

    def clear(self) -> None:
        """Forget all requests."""
        self._requests.clear()
