"""Leaves the interpreter with the blocking objects in some state: SCENARIO [ROOT]. Never closes anything."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from wbfiles_async import Api, File

RUN = "team/project/run"

api = Api()


def without_requests() -> None:
    """Exit without any request."""
    kept.append(api.run(RUN).files())


def after_requests() -> None:
    """Leave with idle connections."""
    for file in api.run(RUN).files(pattern="small%"):
        file.read_bytes()


def with_much_half_read() -> None:
    """Leave with a listing half read, and streams."""
    files = api.run(RUN).files(per_page=2)
    streams = [file.stream() for file in files[1:3]]
    for stream in streams:
        next(stream)
    kept.extend([files, *streams])


def during_a_download_of_a_daemon_thread() -> None:
    """Leave while a daemon thread waits for a file that does not end."""
    file = api.run(RUN).file("held.bin")
    threading.Thread(target=file.download, args=sys.argv[2:], daemon=True).start()
    sys.stdin.readline()


def during_a_download_of_a_daemon_thread_with_a_client_of_its_own() -> None:
    """The same without another reference to the client, so that it is dropped while the interpreter exits."""
    threading.Thread(target=lambda: Api().run(RUN).file("held.bin").download(sys.argv[2]), daemon=True).start()
    sys.stdin.readline()


def with_downloads_pending_in_a_pool() -> None:
    """Leave while a pool has downloads left."""
    pool = ThreadPoolExecutor(2)
    for file in api.run(RUN).files(pattern="small%"):
        pool.submit(_download_during_the_exit, file)


def with_a_thread_left() -> None:
    """Leave while a non-daemon thread is downloading."""
    threading.Thread(target=_download_during_the_exit, args=[api.run(RUN).file("small-0.bin")]).start()


def _download_during_the_exit(file: File) -> None:
    wait_for_the_exit_to_begin()
    with file.download(sys.argv[2]) as handle:
        sys.stdout.write(f"{file.name} {os.fstat(handle.fileno()).st_size}\n")  # in one piece, other threads write too


def wait_for_the_exit_to_begin() -> None:
    """Return when the interpreter accepts no more work for thread pools, its first step of shutdown."""
    probe = ThreadPoolExecutor(1)
    try:
        while True:
            probe.submit(time.sleep, 0.01).result()
    except RuntimeError:
        return


kept: list[object] = []
scenarios: dict[str, Callable[[], None]] = {
    scenario.__name__: scenario
    for scenario in (
        without_requests,
        after_requests,
        with_much_half_read,
        during_a_download_of_a_daemon_thread,
        during_a_download_of_a_daemon_thread_with_a_client_of_its_own,
        with_downloads_pending_in_a_pool,
        with_a_thread_left,
    )
}
scenarios[sys.argv[1]]()
