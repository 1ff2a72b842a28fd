"""Counts what a contender does to the store: connections at the same time, and requests."""

from __future__ import annotations

import http.client
import re
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_SAMPLE = 0.02
"""Seconds between two looks: each costs the store and us a tenth of a millisecond."""


class StoreWatch:
    """Samples nginx's own counters inside of a ``with``; the store in Python has none, and all stays 0.

    Attributes:
        connections: The most that were open in any sample, besides those from before.
        requests: How many there were.
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
            self.requests = self._look() - self._before - self._looks + 1  # the first look counts itself
        self._connection.close()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE):
            self._look()

    def _look(self) -> int:
        """Return how many requests there were until now, this one included; 0 if the store does not count."""
        self._looks += 1
        self._connection.request("GET", "/state")
        response = self._connection.getresponse()
        numbers = [int(number) for number in re.findall(rb"\d+", response.read())]
        if response.status != 200:
            return 0
        self.connections = max(self.connections, numbers[0] - 1 - self._open)  # without this one
        return numbers[3]
