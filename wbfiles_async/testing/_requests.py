"""The log of requests, for tests. Does not know how the server responds."""

from __future__ import annotations

from collections import deque

import attrs


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """One request, and the status of its response.

    Attributes:
        method: The HTTP method.
        path: The decoded path, without the query, since signatures are not recorded.
        status: The status of the response.
        operation: The name of the GraphQL operation; empty for other requests.
        range: The ``Range`` header.
        if_match: The ``If-Match`` header.
        if_range: The ``If-Range`` header.
        authorized: Whether there was an ``Authorization`` header; its value is not recorded.
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
    """The latest requests, up to a maximum number. Can be read while the server adds requests."""

    def __init__(self, limit: int) -> None:
        self._requests: deque[RecordedRequest] = deque(maxlen=limit)

    def add(self, request: RecordedRequest) -> None:
        """Add a request; if the log is full, the oldest one is removed."""
        self._requests.append(request)

    def snapshot(self) -> tuple[RecordedRequest, ...]:
        """Return the requests in the log, oldest first."""
        return tuple(self._requests.copy())

    def clear(self) -> None:
        """Remove all requests."""
        self._requests.clear()
