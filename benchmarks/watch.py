"""Counts the load of a contender on the store: concurrent connections, and requests."""

from __future__ import annotations

import http.client
import re
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_SAMPLE = 0.02
"""Sampling interval in seconds; a sample costs the store and this process a tenth of a millisecond."""


class StoreWatch:
    """Samples nginx's own counters within a ``with`` block; the store in Python has none, so all stay 0.

    Attributes:
        connections: The maximum of open connections in any sample, excluding those from before.
        requests: The number of requests.
    """

    def __init__(self, origin: str) -> None:
        self.connections = 0
        self.requests = 0
        self._connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=30)
        self._before = self._open = 0
        self._looks = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._before = self._look()
        self._open, self.connections = self.connections, 0
        if self._before:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._before:
            self._thread.join()
        if self._before and kind is None:
            self.requests = self._look() - self._before - self._looks + 1  # the first sample counts itself
        self._connection.close()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE):
            self._look()

    def _look(self) -> int:
        """Return the number of requests so far, including this one; 0 if the store does not count."""
        self._looks += 1
        self._connection.request("GET", "/state")
        response = self._connection.getresponse()
        numbers = [int(number) for number in re.findall(rb"\d+", response.read())]
        if response.status != 200:
            return 0
        self.connections = max(self.connections, numbers[0] - 1 - self._open)  # without this one
        return numbers[3]
