"""Uses one client, made when the module is imported, in several processes: SCENARIO ROOT."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from wbfiles_async import Api, ConfigurationError, File

RUN = "team/project/run"

root = Path(sys.argv[2])
api = Api()


def fetch(name: str, who: str) -> None:
    """Fetch a file into a folder of the caller's name, with the client of the module."""
    path = api.run(RUN).file(name).fetch(root / who)
    print(who, path.name, path.stat().st_size, flush=True)


def fork(work: Callable[[], None]) -> None:
    """Run some work in a forked process, which then exits as scripts do; wait for it."""
    child = os.fork()
    if child == 0:
        work()
        sys.exit()
    _, status = os.waitpid(child, 0)
    print("child ended with", os.waitstatus_to_exitcode(status), flush=True)


def after_use() -> None:
    """Parent, child and parent again use the same client."""
    fetch("small-0.bin", "parent")
    fork(lambda: fetch("small-1.bin", "child"))
    fetch("small-2.bin", "parent")


def before_use() -> None:
    """The child is the first to use the client."""
    fork(lambda: fetch("small-1.bin", "child"))
    fetch("small-2.bin", "parent")


def closed_in_the_child() -> None:
    """The child closes the client; the parent's stays open."""
    fetch("small-0.bin", "parent")
    fork(api.close)
    fetch("small-2.bin", "parent")


def dropped_in_the_child() -> None:
    """The child drops the client; the parent's stays open."""

    def drop() -> None:
        global api
        del api
        gc.collect()

    fetch("small-0.bin", "parent")
    fork(drop)
    fetch("small-2.bin", "parent")


def without_use_in_the_child() -> None:
    """The child inherits a client in use and does not touch it."""
    fetch("small-0.bin", "parent")
    fork(lambda: None)
    fetch("small-2.bin", "parent")


def half_read() -> None:
    """A listing and a stream are half read: the child lists again, its stream is an error, and the parent continues."""
    files = api.run(RUN).files(pattern="small%", per_page=7)
    stream = api.run(RUN).file("large.bin").stream()
    print("parent", files[0].name, end=" ")
    begun = len(next(stream))
    print("and a piece", flush=True)

    def use() -> None:
        print("child", len([*files]), end=" ")
        try:
            next(stream)
        except ConfigurationError:
            print("ConfigurationError", flush=True)

    fork(use)
    print("parent", len([*files]), begun + sum(map(len, stream)), flush=True)


def during_a_download() -> None:
    """Another thread of the parent is downloading while the child starts and ends."""
    download = threading.Thread(target=fetch, args=["held.bin", "parent"])
    download.start()
    sys.stdin.readline()
    fork(lambda: fetch("small-1.bin", "child"))
    print("still downloading" if download.is_alive() else "download broken off", flush=True)
    sys.stdin.readline()
    download.join()


def multiprocessing_fork() -> None:
    """A process of multiprocessing, by fork."""
    fetch("small-0.bin", "parent")
    _run_process("fork", fetch, "small-1.bin", "child")
    fetch("small-2.bin", "parent")


def multiprocessing_spawn() -> None:
    """A process of multiprocessing, which imports this module again and receives a file by pickle."""
    file = api.run(RUN).file("small-1.bin")
    _run_process("spawn", _fetch_pickled, pickle.dumps(file))


def _fetch_pickled(pickled: bytes) -> None:
    file: File = pickle.loads(pickled)
    with file.download(root / "child", api=api) as handle:
        print("child", file.name, os.fstat(handle.fileno()).st_size, flush=True)


def _run_process(method: str, work: Callable[..., None], *args: object) -> None:
    multiprocessing.set_start_method(method)
    process = multiprocessing.Process(target=work, args=args)
    process.start()
    process.join()
    print("child ended with", process.exitcode, flush=True)


if __name__ == "__main__":
    scenarios: dict[str, Callable[[], None]] = {
        scenario.__name__: scenario
        for scenario in (
            after_use,
            before_use,
            closed_in_the_child,
            dropped_in_the_child,
            without_use_in_the_child,
            half_read,
            during_a_download,
            multiprocessing_fork,
            multiprocessing_spawn,
        )
    }
    scenarios[sys.argv[1]]()
