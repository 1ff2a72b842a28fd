"""Divides what a whole cluster may use among its workers, as they come and go. Performs no I/O."""

from __future__ import annotations

import attrs

__all__ = ["Budget", "Grant"]


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
        connections = rate = None
        requests = None
        if self.connections is not None:
            connections = (self.connections - sum(grant.connections or 0 for grant in self._granted)) // sharing
        if self.limit_rate is not None:
            rate = (self.limit_rate - sum(grant.limit_rate or 0 for grant in self._granted)) // sharing
        if self.api_requests is not None:
            # Of a rate nothing is ever too little; a whole one is kept apart from what rounding leaves of it.
            left = self.api_requests - sum(grant.api_requests or 0 for grant in self._granted)
            requests = left / sharing if left > self.api_requests / 1e6 else 0
        if sharing > 1 and 0 in (connections, rate):
            return self.grant(sharing - 1)  # fewer at a time, each with one
        if any(share is not None and share <= 0 for share in (connections, rate, requests)):
            return None
        grant = Grant(connections, rate, requests)
        self._granted.append(grant)
        return grant

    def give_back(self, grant: Grant) -> None:
        """Take back what a chunk was granted, since it ended."""
        self._granted.remove(grant)
