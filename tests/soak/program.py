"""Defines a program: files, faults of their requests, work, and interruption. Performs no I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, TypeVar

import attrs

from wbfiles_async import TransferOptions

T = TypeVar("T")

KIB, MIB = 1 << 10, 1 << 20

STALL_SECONDS = 0.12
"""Seconds of silence until a request times out: short enough that thousands of silences take minutes."""

Md5 = Literal["right", "hexadecimal", "missing", "malformed", "wrong"]
Way = Literal["direct", "by the API", "after a dead host"]
Before = Literal["nothing", "another file", "the right file"]
Kind = Literal["fetch", "download", "read_bytes", "stream", "bulk"]
Means = Literal["task", "timeout", "scope", "twice", "close"]


@attrs.frozen
class Fault:
    """A response of a store or the API: its name in the repertoire, and a seed."""

    name: str
    seed: int

    def __repr__(self) -> str:
        return f"{self.name}/{self.seed}"


@attrs.frozen
class FilePlan:
    """A file of the run.

    Attributes:
        name: Its name.
        size: Its length in bytes.
        seed: Decides its bytes.
        size_known: Whether the listing states the length.
        md5: The md5 in the listing.
        way: How its bytes are requested.
        before: What exists at its path when the work begins.
        faults: The responses to its first requests; the last repeats if ``lasting``, otherwise a good store follows.
        lasting: Whether the last fault is permanent.
    """

    name: str
    size: int
    seed: int
    size_known: bool
    md5: Md5
    way: Way
    before: Before
    faults: tuple[Fault, ...]
    lasting: bool


@attrs.frozen
class Work:
    """A call of the library.

    Attributes:
        kind: The method.
        replace: As the methods take it.
        exist_ok: As the methods take it.
        existing: As the bulk download takes it.
        twice: Whether two tasks do it concurrently.
        span: The bytes of a stream, ``None`` for all of them.
        leave_after: The number of pieces after which a stream is abandoned.
    """

    kind: Kind
    replace: bool
    exist_ok: bool
    existing: Literal["verify", "keep", "replace", "error"]
    twice: bool
    span: tuple[int, int | None] | None
    leave_after: int | None


@attrs.frozen
class Stop:
    """How the work is stopped: the means, and the number of iterations of the event loop or requests before."""

    means: Means
    turns: int
    requests: int


@attrs.frozen
class Program:
    """Everything that a seed determines."""

    seed: int
    files: tuple[FilePlan, ...]
    options: TransferOptions
    per_page: int
    api_faults: tuple[Fault, ...]
    listing: str
    work: Work
    stop: Stop | None


def make(seed: int, store_faults: Sequence[str], api_faults: Sequence[str], listings: Sequence[str]) -> Program:
    """Make the program of a seed.

    Args:
        seed: Determines everything.
        store_faults: Names of the repertoire for stores.
        api_faults: Names of the repertoire for the API.
        listings: Names of the faults of listings.
    """
    chance = random.Random(seed)
    part_size = chance.choice([128 * KIB, 256 * KIB, 300_007, MIB])
    kind: Kind = _weighted(chance, {"fetch": 5, "bulk": 4, "download": 1, "read_bytes": 2, "stream": 3})
    calm = chance.random() < 0.1
    count = chance.randint(1, 10) if kind == "bulk" else chance.randint(1, 2)
    files = tuple(_file(chance, n, part_size, () if calm else store_faults) for n in range(count))
    options = TransferOptions(
        connections=chance.choice([1, 2, 3, 8]),
        part_size=part_size,
        verify=chance.random() < 0.85,
        durable=chance.random() < 0.1,
        connect_timeout=1.0,
        stall_seconds=STALL_SECONDS,
        stall_bytes=chance.choice([16, 1024]),
        attempts=chance.randint(1, 5),
        time_budget=20.0,
    )
    return Program(
        seed=seed,
        files=files,
        options=options,
        per_page=chance.choice([1, 2, 3, 1000]),
        api_faults=() if calm or chance.random() < 0.6 else _faults(chance, api_faults, chance.randint(1, 3)),
        listing=chance.choice(listings) if chance.random() < 0.3 else listings[0],
        work=_work(chance, kind, files[0].size),
        stop=_stop(chance) if chance.random() < 0.4 else None,
    )


def _file(chance: random.Random, number: int, part_size: int, faults: Sequence[str]) -> FilePlan:
    size = _weighted(
        chance,
        {
            0: 2,
            1: 1,
            chance.randint(2, 6000): 10,
            chance.randint(6000, MIB): 3,
            MIB + chance.randint(-1, 1): 1,
            part_size + chance.randint(-1, 1): 2,
            2 * part_size + chance.randint(-1, 1): 1,
            chance.randint(MIB, 2 * MIB + 300 * KIB): 3,
        },
    )
    lasting = bool(faults) and chance.random() < 0.15
    bad = _weighted(chance, {0: 4, 1: 4, 2: 2, 3: 1, 6: 1}) if faults else 0
    return FilePlan(
        name=chance.choice(["{}.bin", "folder/{}.txt", "folder/deeper/{}", "ü {}"]).format(number),
        size=size,
        seed=chance.randrange(MIB),
        size_known=chance.random() < 0.85,
        md5=_weighted(chance, {"right": 15, "hexadecimal": 1, "missing": 2, "malformed": 1, "wrong": 1}),
        way=_weighted(chance, {"direct": 8, "by the API": 2, "after a dead host": 1}),
        before=_weighted(chance, {"nothing": 5, "another file": 2, "the right file": 1}),
        faults=_faults(chance, faults, max(bad, int(lasting))),
        lasting=lasting,
    )


def _work(chance: random.Random, kind: Kind, size: int) -> Work:
    span = None
    if chance.random() < 0.5:
        start = chance.randint(0, size)
        span = (start, chance.choice([None, chance.randint(start, size + 5)]))
    return Work(
        kind=kind,
        replace=chance.random() < 0.7,
        exist_ok=chance.random() < 0.3,
        existing=chance.choice(["verify", "keep", "replace", "error"]),
        twice=chance.random() < 0.1,
        span=span,
        leave_after=chance.choice([0, 1, 2]) if chance.random() < 0.2 else None,
    )


def _stop(chance: random.Random) -> Stop:
    return Stop(
        means=_weighted(chance, {"task": 3, "timeout": 2, "scope": 2, "twice": 2, "close": 2}),
        turns=int(2 ** chance.uniform(0, 9)),
        requests=chance.choice([0, 0, 1, 2, 3, 6]),
    )


def _faults(chance: random.Random, names: Sequence[str], count: int) -> tuple[Fault, ...]:
    return tuple(Fault(chance.choice(names), chance.randrange(10_000)) for _ in range(count))


def _weighted(chance: random.Random, weights: dict[T, int]) -> T:
    return chance.choices(list(weights), list(weights.values()))[0]
