"""Kills downloads with SIGKILL between two disk operations, and checks what is left: `python -m soak.kills`.

Only system calls change the disk, so kills before and after each of them cover every moment.
"""

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
from typing import Final, Literal

import attrs
from scripted_server import temporaries
from systems import STAND_IN, WINDOWS, WRITE, played

from wbfiles_async import AsyncApi, TransferOptions, _gateway
from wbfiles_async._disk.names import STATE_NAME
from wbfiles_async._disk.resume import CLOSED_SECONDS
from wbfiles_async.testing import LocalServer

LOADED = (_gateway,)
"""Lazy imports of a client, loaded before the forks so that not every child loads them."""

RUN, MANY = "team/project/run1", "team/project/run2"
MIB = 1 << 20
OLD = b"what was there before"
SMALL: Final = "small.bin"
LARGE: Final = "large.bin"
FILES = {SMALL: random.Random(1).randbytes(5000), LARGE: random.Random(2).randbytes(3 * MIB + 123)}
"""The server's files: one that is downloaded in memory, and one in parts."""
MANY_FILES = {f"folder/{n}.bin": b"%d" % n for n in range(300)} | {LARGE: FILES[LARGE]}
"""Another run: enough files that the cache of verified files is written."""

Work = Literal["small.bin", "large.bin", "many"]
WORKS: tuple[Work, ...] = ("small.bin", "large.bin", "many")

STEPS = (
    "open",
    WRITE,
    "fsync",
    "close",
    "replace",
    *(("utime", "rename") if WINDOWS else ("fchmod", "link", "unlink")),
)
"""The functions of `os` that publish a file."""

OTHERS = ("mkdir", "write", "pwritev", "ftruncate", "truncate", "chmod", "utime", "rename", "remove", "unlink")
CALLS = tuple(sorted({*STEPS, *OTHERS}))
"""These, and all others that change the disk."""

MOST_MISSED = 0.1
"""The share of random kills that may come too late: the number of calls varies a little."""

WITHOUT_REPLACING = {"link", "rename", "unlink"}


@attrs.frozen
class Kill:
    """When a download is killed: before or after the n-th call of some functions."""

    work: Work
    steps: tuple[str, ...]
    after: bool
    nth: int
    replace: bool


def every_step() -> Iterator[Kill]:
    """Yield each step of each kind of single-file download once."""
    for step, after in itertools.product(STEPS, (False, True)):
        replace = step not in WITHOUT_REPLACING
        yield Kill(SMALL, (step,), after, 1, replace)
        yield Kill(LARGE, (step,), after, 2 if step == WRITE else 1, replace)


def random_kills(count: int, seed: int, base_url: str, key: str) -> Iterator[Kill]:
    """Choose random calls of a download."""
    chance = random.Random(seed)
    calls: dict[tuple[Work, bool], int] = {
        (work, replace): _calls_of(work, replace, base_url, key) for work in WORKS for replace in (False, True)
    }
    for _ in range(count):
        work, replace = chance.choice(list(calls))
        yield Kill(work, CALLS, chance.random() < 0.5, chance.randint(1, calls[work, replace]), replace)


def _calls_of(work: Work, replace: bool, base_url: str, key: str) -> int:
    """Download in a child that is not killed; return the number of its calls."""
    with tempfile.TemporaryDirectory() as folder:
        root, counted = Path(folder) / "root", Path(folder) / "counted"
        _lay(work, root, replace)

        def count() -> None:
            calls = itertools.count()
            _download(work, root, base_url, key, replace, lambda: _before_each_call(CALLS, lambda: next(calls) < 0))
            counted.write_text(str(next(calls)))

        _in_child(count)
        return int(counted.read_text())


def contents_of(work: Work) -> dict[str, bytes]:
    """Return what is to be downloaded."""
    return MANY_FILES if work == "many" else {work: FILES[work]}


def _lay(work: Work, root: Path, replace: bool) -> None:
    root.mkdir()
    if replace:
        for name in contents_of(work):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(OLD)


def kill_one(kill: Kill, base_url: str, key: str) -> tuple[str, list[str]]:
    """Download in a child that is killed; return how far it got, and the broken guarantees.

    The second download is killed at the same call, too, before a third one succeeds.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        _lay(kill.work, root, kill.replace)
        old = OLD if kill.replace else None
        killed = _in_child(lambda: _download_and_die(kill, root, base_url, key, kill.replace))
        broken, states = list(_broken(kill, root, old)), _states(kill, root, old)
        _let_time_pass(root)
        _in_child(lambda: _download_and_die(kill, root, base_url, key, True))
        broken += _broken(kill, root, old)
        _let_time_pass(root)
        if _in_child(lambda: _download(kill.work, root, base_url, key, True)):
            raise RuntimeError("something else kills, too")
        if any((root / name).read_bytes() != data for name, data in contents_of(kill.work).items()):
            broken.append("the next download does not succeed")
        broken += [f"{path.name} is left for good" for path in temporaries(root)]
        return ("killed" if killed else "not reached") + f", {states}", broken


def _let_time_pass(root: Path) -> None:
    """Make leftovers old enough to be removed, if files are briefly closed before they are published."""
    for path in temporaries(root) if CLOSED_SECONDS else ():
        status = path.stat()
        os.utime(path, (status.st_atime, status.st_mtime - CLOSED_SECONDS))


def _states(kill: Kill, root: Path, old: bytes | None) -> str:
    complete = [_content(root / name) == data for name, data in contents_of(kill.work).items()]
    return "complete" if all(complete) else "old" if not any(complete) else "some"


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _broken(kill: Kill, root: Path, old: bytes | None) -> Iterator[str]:
    contents = contents_of(kill.work)
    for name, whole in contents.items():
        if _content(root / name) not in (old, whole):
            yield f"{name} is neither old nor complete"
    left = {path for path in root.rglob("*") if path.is_file()} - {root / name for name in (*contents, STATE_NAME)}
    for path in left:
        if not path.name.endswith(".wbfiles-part"):
            yield f"{path.name} is left, which nobody can recognise"
        # It gets its final permissions when it is complete, just before it is published.
        elif stat.S_IMODE(path.stat().st_mode) != 0o600 and path.read_bytes() not in contents.values():
            yield f"{path.name} is unfinished and can be read by others"


def _in_child(work: Callable[[], None]) -> bool:
    """Run the work in a forked process; return whether it was killed. Any other failure raises."""
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


def _download(
    work: Work, root: Path, base_url: str, key: str, replace: bool, arm: Callable[[], None] = lambda: None
) -> None:
    async def main() -> None:
        options = TransferOptions(part_size=MIB, durable=work != "many")
        async with AsyncApi(base_url=base_url, api_key=key, options=options) as api:
            if work == "many":
                arm()
                await api.run(MANY).download(root)
                return
            file = await api.run(RUN).file(work)
            arm()
            await file.fetch(root, replace=replace)

    asyncio.run(main())


def _download_and_die(kill: Kill, root: Path, base_url: str, key: str, replace: bool) -> None:
    calls = itertools.count(1)
    arm = lambda: _before_each_call(kill.steps, lambda: next(calls) == kill.nth, after=kill.after)  # noqa: E731
    _download(kill.work, root, base_url, key, replace, arm)


def _before_each_call(steps: Iterable[str], is_due: Callable[[], bool], *, after: bool = False) -> None:
    """Make the process kill itself before or after a call."""

    def deadly(original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            due = is_due()
            if due and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **kwargs)
            if due:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for step in steps:
        setattr(os, step, deadly(getattr(os, step)))


def kill_all(kills: Iterable[Kill], base_url: str, key: str) -> int:
    """Kill, and print broken guarantees; return their number, or that of kills that came too late beyond the limit."""
    tally: Counter[str] = Counter()
    bad = 0
    for kill in kills:
        how, broken = kill_one(kill, base_url, key)
        tally[how] += 1
        bad += bool(broken)
        for problem in broken:
            print(f"{kill}: {problem}")
    missed = sum(count for how, count in tally.items() if how.startswith("not reached"))
    print(f"{tally.total() - missed} of {tally.total()} downloads killed, {bad} broke a promise: {dict(tally)}")
    return bad + (missed > MOST_MISSED * tally.total())


def main() -> int:
    """Kill; return 1 if a guarantee was broken, or too many kills came too late."""
    parser = argparse.ArgumentParser(prog="soak.kills", description="Kill downloads at each step.")
    parser.add_argument("--kills", type=int, metavar="N", help="random ones; default: each step once")
    parser.add_argument("--seed", type=int, default=0, help="decides on the random ones; default: %(default)s")
    parser.add_argument("--server", nargs=2, metavar=("BASE_URL", "KEY"), help="holds the files; default: our own")
    parser.add_argument("--portable", action="store_true", help="with what Windows has alone; see other_systems")
    arguments = parser.parse_args()
    if arguments.portable and STAND_IN is None:
        again = [sys.executable, *sys.orig_argv[1:]]
        return subprocess.run(again, env=played("win32"), check=False).returncode
    if arguments.server:
        where = arguments.server
        kills = every_step() if arguments.kills is None else random_kills(arguments.kills, arguments.seed, *where)
        return int(kill_all(kills, *where) > 0)
    # The server's threads must not run in the process that forks.
    with tempfile.TemporaryDirectory() as folder, LocalServer(folder) as server:
        for run, files in ((RUN, FILES), (MANY, MANY_FILES)):
            for name, data in files.items():
                server.add_file(run, name, data)
        again = [sys.executable, *sys.orig_argv[1:], "--server", server.base_url, server.api_key]
        return subprocess.run(again, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
