"""Runs programs one after the other in one event loop, and checks after each for leftovers."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from scripted_server import SkippingClock, clients_use

from soak import program
from soak.listings import API, LISTINGS
from soak.play import play
from soak.program import Program
from soak.stores import STORE
from soak.watch import Complaints, Watch


def make_program(seed: int) -> Program:
    """Make the program of a seed, from the whole repertoire."""
    return program.make(seed, list(STORE), list(API), LISTINGS)


def play_all(seeds: Iterable[int]) -> tuple[Counter[str], dict[int, list[str]]]:
    """Run the programs of these seeds, without waits before retries.

    Returns:
        Counts of events, and violations by seed.
    """
    with clients_use(SkippingClock().clock):
        return asyncio.run(_play_all(seeds))


async def _play_all(seeds: Iterable[int]) -> tuple[Counter[str], dict[int, list[str]]]:
    tally: Counter[str] = Counter()
    violations: dict[int, list[str]] = {}
    gc.collect()
    gc.freeze()  # loaded objects need not be searched repeatedly
    complaints = Complaints()
    complaints.listen()
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            watch, root = Watch(), Path(folder) / str(seed)
            root.mkdir()
            outcome = await play(make_program(seed), root)
            problems = [*outcome.violations, *await watch.left(), *complaints.take()]
            tally += outcome.tally
            if problems:
                violations[seed] = problems
    return tally, violations
