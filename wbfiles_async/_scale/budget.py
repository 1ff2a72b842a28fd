"""Divides what a whole cluster may use among its workers, as they come and go. Performs no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import attrs

__all__ = ["Budget", "Grant"]

N = TypeVar("N", int, float)

ROUNDING: Final = 1e-6
"""The share of a rate that rounding may leave of it, when all of it has been granted."""


@attrs.frozen
class Grant:
    """What one chunk may use while it is worked on; ``None`` for no limit.

    Attributes:
        connections: Simultaneous requests to the stores.
        limit_rate: Bytes a second.
        api_requests: Requests to the API a second.
    """

    connections: int | None = None
    limit_rate: int | None = None
    api_requests: float | None = None


@attrs.define
class Budget:
    """What all chunks that are worked on may use together; ``None`` for no limit.

    What has been granted stays granted until the chunk ends, so that the whole is never exceeded, however the number of
    workers changes meanwhile.

    Attributes:
        connections: Simultaneous requests to the stores.
        limit_rate: Bytes a second.
        api_requests: Requests to the API a second.
    """

    connections: int | None = None
    limit_rate: int | None = None
    api_requests: float | None = None
    _granted: list[Grant] = attrs.field(factory=list, init=False)

    def grant(self, sharing: int) -> Grant | None:
        """Grant a chunk its share of what is left; ``None`` if that is less than one connection or byte a second.

        Args:
            sharing: Chunks that could begin now, this one included: as many share what is left.
        """
        connections = _less(self.connections, (each.connections for each in self._granted))
        rate = _less(self.limit_rate, (each.limit_rate for each in self._granted))
        requests = _less(self.api_requests, (each.api_requests for each in self._granted))
        # Of a rate of requests no part is too small; of the others each needs one at least, so that fewer may share.
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

    def give_back(self, grant: Grant) -> None:
        """Take back what a chunk was granted, since it ended."""
        self._granted.remove(grant)


def _less(total: N | None, granted: Iterable[N | None]) -> N | None:
    """Return what is left of a total, if there is one."""
    return None if total is None else total - sum(each for each in granted if each is not None)
