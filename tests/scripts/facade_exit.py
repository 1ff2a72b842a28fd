"""Leaves the interpreter with the blocking objects in some state: SCENARIO. Never closes anything."""

from __future__ import annotations

import sys
from collections.abc import Callable

from wbfiles_async import Api

RUN = "team/project/run"

api = Api()


def without_requests() -> None:
    """Leave without having asked for anything."""
    kept.append(api.run(RUN).files())


def after_requests() -> None:
    """Leave with idle connections."""
    for file in api.run(RUN).files(pattern="small%"):
        file.read_bytes()


kept: list[object] = []
scenarios: dict[str, Callable[[], None]] = {
    scenario.__name__: scenario
    for scenario in (
        without_requests,
        after_requests,
    )
}
scenarios[sys.argv[1]]()
