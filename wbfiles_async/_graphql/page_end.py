"""Where a page of a listing ends, in the form that all of W&B's listings share. Performs no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from wbfiles_async._graphql.json_values import mapping, text

__all__ = ["PageEnd", "edges_of", "page_end"]


@attrs.frozen
class PageEnd:
    """The end of a page.

    Attributes:
        cursor: Where the next page begins; ``None`` if the server gave no cursor.
        has_next: Whether the server states that more follow.
    """

    cursor: str | None
    has_next: bool


def edges_of(listing: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    """Return the entries of a page, each with its ``node``."""
    edges = listing.get("edges")
    return [mapping(edge) for edge in edges] if isinstance(edges, list) else []


def page_end(data: Mapping[str, object], *place: str) -> PageEnd:
    """Return the end of a page, without reading its entries.

    Args:
        data: The data of a response.
        place: The keys under which it has the listing.
    """
    listing = data
    for key in place:
        listing = mapping(listing.get(key))
    info, edges = mapping(listing.get("pageInfo")), listing.get("edges")
    # W&B's client pages files and runs with the last edge's cursor, so all servers support that one.
    cursor = text(mapping(edges[-1]).get("cursor")) if isinstance(edges, list) and edges else None
    return PageEnd(cursor or text(info.get("endCursor")), info.get("hasNextPage") is True)
