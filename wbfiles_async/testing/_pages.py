"""Pages in the form of Relay: edges with cursors, for a sequence of keys. Performs no I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import attrs

from wbfiles_async.testing._ids import decode_id, encode_id

Node = TypeVar("Node", covariant=True)

_DEFAULT_FIRST = 50


@attrs.frozen
class Edge(Generic[Node]):
    """A node, and the cursor for the page after it."""

    node: Node
    cursor: str


@attrs.frozen
class PageInfo:
    """The cursor of a page's last node, and whether another page follows."""

    end_cursor: str | None
    has_next_page: bool


@attrs.frozen
class Connection(Generic[Node]):
    """One page of nodes."""

    edges: Sequence[Edge[Node]]
    page_info: PageInfo


@attrs.frozen
class Window:
    """The keys of one page, and whether more follow."""

    keys: Sequence[str]
    has_more: bool


def window(keys: Sequence[str], *, after: str | None, first: int | None, is_sorted: bool) -> Window:
    """Return one page of all keys.

    Args:
        keys: All keys; distinct.
        after: The cursor of the key before the page; ``None`` for the first page.
        first: Maximum keys of the page; ``None`` for W&B's default of 50.
        is_sorted: Whether the keys are in code point order; then the cursor's key may have been removed meanwhile.

    Raises:
        ValueError: ``first`` is negative, or the cursor is not from this listing.
    """
    count = _DEFAULT_FIRST if first is None else first
    if count < 0:
        raise ValueError(f"expected first to be 0 or more, got {count}")
    start = 0
    if after:
        last = decode_id("cursor", after)
        start = bisect_right(keys, last) if is_sorted else keys.index(last) + 1
    return Window(keys[start : start + count], start + count < len(keys))


def connect(nodes: Iterable[tuple[str, Node]], *, has_more: bool) -> Connection[Node]:
    """Return a page of nodes, which are given with their keys."""
    edges = [Edge(node, encode_id("cursor", key)) for key, node in nodes]
    return Connection(edges, PageInfo(edges[-1].cursor if edges else None, has_more))
