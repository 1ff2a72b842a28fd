"""Relay's pages: edges with cursors, cut from a sequence of keys. Performs no I/O."""

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
    """A node and the cursor that the next page begins after."""

    node: Node
    cursor: str


@attrs.frozen
class PageInfo:
    """Where a page ends, and whether another follows."""

    end_cursor: str | None
    has_next_page: bool


@attrs.frozen
class Connection(Generic[Node]):
    """One page of nodes."""

    edges: Sequence[Edge[Node]]
    page_info: PageInfo


@attrs.frozen
class Window:
    """The keys of one page, and whether there are keys behind it."""

    keys: Sequence[str]
    has_more: bool


def window(keys: Sequence[str], *, after: str | None, first: int | None, is_sorted: bool) -> Window:
    """Cut one page out of all keys.

    Args:
        keys: All keys; distinct.
        after: The cursor of the key before the page; ``None`` for the first page.
        first: The most keys that the page may hold; ``None`` for W&B's default of 50.
        is_sorted: Whether the keys are in code point order; then the cursor's key may have gone meanwhile.

    Raises:
        ValueError: ``first`` is negative, or the cursor is not one of this listing.
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
    """Make a page of nodes, each given with its key."""
    edges = [Edge(node, encode_id("cursor", key)) for key, node in nodes]
    return Connection(edges, PageInfo(edges[-1].cursor if edges else None, has_more))
