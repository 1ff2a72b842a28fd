"""Kills downloads with SIGKILL at a named step, over and over, and looks at what they leave: `python -m soak.kills`."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs

from wbfiles_async import AsyncApi, TransferOptions, _gateway
from wbfiles_async.testing import LocalServer

LOADED = (_gateway,)
"""What a client loads at its first use, here before the forks, so that not each of them loads it."""

RUN = "team/project/run1"
MIB = 1 << 20
OLD = b"what was there before"
FILES = {"small.bin": random.Random(1).randbytes(5000), "large.bin": random.Random(2).randbytes(3 * MIB + 123)}
"""What the server must hold: a file that goes through memory, and one that is written in parts."""

STEPS = ("open", "pwrite", "fchmod", "fsync", "close", "replace", "link", "unlink")
"""The calls of `os` by which a file is published."""


@attrs.frozen
class Kill:
    """When one download is killed: before or after the n-th call of a step."""

    file: str
    step: str
    after: bool
    nth: int
    replace: bool


def every_step() -> Iterator[Kill]:
    """Name each step of each way once."""
    for file, step, after in itertools.product(FILES, STEPS, (False, True)):
        nth = 2 if (file, step) == ("large.bin", "pwrite") else 1
        yield Kill(file, step, after, nth, replace=step not in ("link", "unlink"))


def random_kills(count: int, seed: int) -> Iterator[Kill]:
    """Choose steps by chance."""
    chance = random.Random(seed)
    for _ in range(count):
        yield Kill(
            chance.choice(list(FILES)),
            chance.choice(STEPS),
            chance.random() < 0.5,
            chance.randint(1, 6),
            chance.random() < 0.5,
        )


def kill_one(kill: Kill, base_url: str, key: str) -> tuple[str, list[str]]:
    """Download in a child that is killed; return how far it got, and what of the promise was broken."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        target, whole = root / kill.file, FILES[kill.file]
        if kill.replace:
            target.write_bytes(OLD)
        killed = _in_child(lambda: _download(kill.file, root, base_url, key, kill))
        there = target.read_bytes() if target.exists() else None
        broken = []
        if there not in ((OLD if kill.replace else None), whole):
            broken.append("the target is neither old nor complete")
        for path in root.iterdir():
            if path != target and not path.name.endswith(".wbfiles-part"):
                broken.append(f"{path.name} is left, which nobody can recognise")
            # It gets its last permissions when it is whole, just before it gets its name.
            if path != target and stat.S_IMODE(path.stat().st_mode) != 0o600 and path.read_bytes() != whole:
                broken.append(f"{path.name} is unfinished and can be read by others")
        if _in_child(lambda: _download(kill.file, root, base_url, key, None)) or target.read_bytes() != whole:
            broken.append("the next download does not succeed")
        return ("killed" if killed else "not reached") + (", complete" if there == whole else ", old"), broken


def _in_child(work: Callable[[], None]) -> bool:
    """Run the work in a forked process; return whether it was killed. Any other bad end is an error here."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status not in (0, signal.SIGKILL):
        raise RuntimeError(f"a download ended with {status}")
    return status == signal.SIGKILL


def _download(name: str, root: Path, base_url: str, key: str, kill: Kill | None) -> None:
    async def main() -> None:
        options = TransferOptions(part_size=MIB, durable=True)
        async with AsyncApi(base_url=base_url, api_key=key, options=options) as api:
            file = await api.run(RUN).file(name)
            if kill is not None:
                _arm(kill)
            await file.fetch(root, replace=kill is None or kill.replace)

    asyncio.run(main())


def _arm(kill: Kill) -> None:
    """Have the process end itself at the step."""
    original: Callable[..., object] = getattr(os, kill.step)
    calls = itertools.count(1)

    def deadly(*args: object, **kwargs: object) -> object:
        now = next(calls) == kill.nth
        if now and not kill.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(os, kill.step, deadly)


def kill_all(kills: Iterable[Kill], base_url: str, key: str) -> int:
    """Kill, and print what broke a promise; returns how many did."""
    tally: Counter[str] = Counter()
    bad = 0
    for kill in kills:
        how, broken = kill_one(kill, base_url, key)
        tally[how] += 1
        bad += bool(broken)
        for told in broken:
            print(f"{kill}: {told}")
    print(f"{tally.total()} downloads killed at a step, {bad} broke a promise: {dict(tally)}")
    return bad


def main() -> int:
    """Kill; returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="soak.kills", description="Kill downloads at each step.")
    parser.add_argument("--kills", type=int, metavar="N", help="random ones; default: each step once")
    parser.add_argument("--seed", type=int, default=0, help="decides on the random ones; default: %(default)s")
    parser.add_argument("--server", nargs=2, metavar=("BASE_URL", "KEY"), help="holds the files; default: our own")
    arguments = parser.parse_args()
    if arguments.server:
        kills = every_step() if arguments.kills is None else random_kills(arguments.kills, arguments.seed)
        return int(kill_all(kills, *arguments.server) > 0)
    # The server's threads must not be in the process that forks.
    with tempfile.TemporaryDirectory() as folder, LocalServer(folder) as server:
        for name, data in FILES.items():
            server.add_file(RUN, name, data)
        again = [sys.executable, *sys.orig_argv[1:], "--server", server.base_url, server.api_key]
        return subprocess.run(again, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
