"""Divides a cluster's budget among its changing workers. Performs no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import attrs

__all__ = ["Budget", "Grant"]

N = TypeVar("N", int, float)

ROUNDING: Final = 1e-6
"""The share of a rate that rounding may leave after all of it has been granted."""


@attrs.frozen
class Grant:
    """The limits of one chunk in progress; ``None`` for no limit.

    Attributes:
        connections: Simultaneous requests to the stores.
        limit_rate: Bytes per second.
        api_requests: Requests to the API per second.
    """

    connections: int | None = None
    limit_rate: int | None = None
    api_requests: float | None = None


@attrs.define
class Budget:
    """The limits of all chunks in progress together; ``None`` for no limit.

    A grant lasts until its chunk ends, so that the total is never exceeded, however the number of workers changes.

    Attributes:
        connections: Simultaneous requests to the stores.
        limit_rate: Bytes per second.
        api_requests: Requests to the API per second.
    """

    connections: int | None = None
    limit_rate: int | None = None
    api_requests: float | None = None
    _granted: list[Grant] = attrs.field(factory=list, init=False)

    def grant(self, sharing: int) -> Grant | None:
        """Grant a chunk its share of the rest; ``None`` if that is less than one connection or byte per second.

        Args:
            sharing: Chunks that could start now, including this one, which share the rest.
        """
        connections = _less(self.connections, (each.connections for each in self._granted))
        rate = _less(self.limit_rate, (each.limit_rate for each in self._granted))
        requests = _less(self.api_requests, (each.api_requests for each in self._granted))
        # A rate of requests can be divided arbitrarily; of the others each chunk needs one, so fewer may share.
        sharing = min(each for each in (sharing, connections, rate) if each is not None)
        if sharing < 1 or (requests is not None and requests <= (self.api_requests or 0) * ROUNDING):
            return None
        grant = Grant(
            None if connections is None else connections // sharing,
            None if rate is None else rate // sharing,
            None if requests is None else requests / sharing,
        )
        self._granted.append(grant)
        return grant

    def release(self, grant: Grant) -> None:
        """Release the grant of a chunk that has ended."""
        self._granted.remove(grant)


def _less(total: N | None, granted: Iterable[N | None]) -> N | None:
    """Return the rest of a total, if there is one."""
    return None if total is None else total - sum(each for each in granted if each is not None)
