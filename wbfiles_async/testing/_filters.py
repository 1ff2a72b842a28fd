"""Filters and order of runs, in the part of MongoDB's language that W&B documents. Performs no I/O."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from wbfiles_async.testing._names import snake_case
from wbfiles_async.testing._regex import search


class FilterError(ValueError):
    """A filter or an order that this server does not support."""


class Comparable(Protocol):
    """A run, as far as filters and orders need it."""

    @property
    def name(self) -> str:
        """The name, by which equal values are ordered."""
        ...

    def value(self, key: str) -> object:
        """Return the value of a key in snake case; ``None`` if there is none."""
        ...


Run = TypeVar("Run", bound=Comparable)


def matches(condition: object, run: Comparable) -> bool:
    """Return whether a run matches a filter.

    Raises:
        FilterError: The filter is not a mapping, or uses an unknown operator.
        RegexError: It contains a regular expression that is not supported.
    """
    if not isinstance(condition, Mapping):
        raise FilterError(f"expected an object as filter, got {condition!r}")
    return all(_meets(str(key), expected, run) for key, expected in condition.items())


def order_by(order: str, runs: Iterable[Run]) -> list[Run]:
    """Sort runs by ``+key`` or ``-key``; runs without a value are last, and equal values are ordered by name.

    Raises:
        FilterError: The order does not begin with a sign, or compares strings with numbers.
    """
    if order[:1] not in ("+", "-") or not order[1:]:
        raise FilterError(f"expected an order such as +created_at, got {order!r}")
    named = sorted(runs, key=operator.attrgetter("name"))
    found = [(_value(order[1:], run), run) for run in named]
    present = [(value, run) for value, run in found if value is not None]
    try:
        present.sort(key=operator.itemgetter(0), reverse=order[0] == "-")
    except TypeError as error:
        raise FilterError(f"the values of {order[1:]!r} cannot be compared with each other") from error
    return [run for _, run in present] + [run for value, run in found if value is None]


def _meets(key: str, expected: object, run: Comparable) -> bool:
    if key == "$and":
        return all(matches(condition, run) for condition in _list(key, expected))
    if key == "$or":
        return any(matches(condition, run) for condition in _list(key, expected))
    if key == "$nor":
        return not any(matches(condition, run) for condition in _list(key, expected))
    if key.startswith("$"):
        raise FilterError(f"this server does not know the filter operator {key!r}")
    value = _value(key, run)
    if isinstance(expected, Mapping):
        return all(_compares(str(name), value, operand) for name, operand in expected.items())
    return _equals(value, expected)


def _compares(name: str, value: object, operand: object) -> bool:
    match name:
        case "$eq":
            return _equals(value, operand)
        case "$ne":
            return not _equals(value, operand)
        case "$in":
            return any(_equals(value, one) for one in _list(name, operand))
        case "$nin":
            return not any(_equals(value, one) for one in _list(name, operand))
        case "$exists":
            return (value is not None) == bool(operand)
        case "$regex":
            return isinstance(value, str) and search(str(operand), value)
        case "$not" if isinstance(operand, Mapping):
            return not all(_compares(str(inner), value, one) for inner, one in operand.items())
        case "$gt" | "$gte" | "$lt" | "$lte":
            return _is_ordered(_ORDERED[name], value, operand)
        case _:
            raise FilterError(f"this server does not know the filter operator {name!r}")


_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def _is_ordered(compare: Callable[[Any, Any], bool], value: object, operand: object) -> bool:
    try:
        return compare(value, operand)
    except TypeError:
        return False


def _equals(value: object, expected: object) -> bool:
    # As in MongoDB, a list equals each of its items; W&B's tags are filtered in this way.
    return value == expected or (isinstance(value, list | tuple) and expected in value)


def _list(name: str, operand: object) -> list[object]:
    if not isinstance(operand, list):
        raise FilterError(f"{name} expects a list, got {operand!r}")
    return operand


def _value(key: str, run: Comparable) -> object:
    head, *rest = key.split(".")
    value = run.value(snake_case(head))
    for part in rest:
        value = value.get(part) if isinstance(value, Mapping) else None
    # W&B wraps the configuration's values, {"lr": {"value": 1}}: config.lr and config.lr.value both find it.
    return value.get("value", value) if isinstance(value, Mapping) else value
