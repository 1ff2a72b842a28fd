"""Calls the blocking objects from all the places where programs do: SCENARIO ROOT."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from wbfiles_async import Api, AsyncApi, ConfigurationError, File, FileResult

RUN = "team/project/run"

root = Path(sys.argv[2])


def in_a_running_loop() -> None:
    """A coroutine calls the blocking objects, like a notebook's cell, as well as the async ones."""

    async def cell() -> None:
        with Api() as api:
            file = api.run(RUN).file("small-0.bin")
            print(file.fetch(root).stat().st_size, len(api.run(RUN).files(pattern="small%")))
        async with AsyncApi() as async_api:
            await asyncio.gather(*[nested() for _ in range(3)])
            print(len(await (await async_api.run(RUN).file("small-1.bin")).read_bytes()))

    async def nested() -> None:
        with Api() as api:
            print(sum(map(len, api.run(RUN).file("small-2.bin").stream())))

    asyncio.run(cell())


def in_a_callback_of_a_running_loop() -> None:
    """A notebook's kernel: the loop runs forever, and cells are callbacks in it."""
    loop = asyncio.new_event_loop()

    def cell() -> None:
        print(api.run(RUN).file("small-0.bin").fetch(root).stat().st_size)
        loop.call_soon(loop.stop)

    with Api() as api:
        loop.call_soon(cell)
        loop.run_forever()
        loop.close()


def in_twenty_threads() -> None:
    """Twenty threads share a client at the same moment."""
    api = Api()
    at_once = threading.Barrier(20)
    sizes: list[int] = []

    def work(number: int) -> None:
        at_once.wait()
        sizes.append(api.run(RUN).file(f"small-{number}.bin").fetch(root).stat().st_size)

    threads = [threading.Thread(target=work, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sorted(sizes) == list(range(1000, 1020)))


def in_twenty_threads_over_one_listing() -> None:
    """Twenty threads iterate one ``Files``; each sees all files in the same order."""
    files = Api().run(RUN).files(pattern="small%", per_page=3)
    with ThreadPoolExecutor(20) as pool:
        listings = list(pool.map(lambda _: [file.name for file in files], range(20)))
    print(len(listings[0]), all(listing == listings[0] for listing in listings))


def in_a_pool() -> None:
    """``ThreadPoolExecutor.map`` over the files of a run."""
    with Api() as api, ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda file: file.fetch(root), api.run(RUN).files(pattern="small%")))
        print(len(paths), sum(path.stat().st_size for path in paths))


class ReadingProgress:
    """Progress that uses the blocking objects where they cannot be used."""

    def __init__(self, file: File) -> None:
        self.file = file

    def started(self, name: str, total: int | None) -> None:
        """Read the file that is just being fetched."""
        self.file.read_bytes()

    def advanced(self, name: str, count: int) -> None:
        """Do nothing."""

    def finished(self, name: str) -> None:
        """Do nothing."""

    def failed(self, name: str, error: Exception) -> None:
        """Do nothing."""


def in_callbacks() -> None:
    """Callbacks run in the I/O thread and would wait for themselves."""
    api = Api()
    file = api.run(RUN).file("small-0.bin")

    def note(result: FileResult) -> None:
        file.read_bytes()

    for call in (
        lambda: file.fetch(root, progress=ReadingProgress(file)),
        lambda: api.run(RUN).download(root, on_result=note),
    ):
        try:
            call()
        except ConfigurationError as error:
            print(type(error).__name__, "callbacks" in str(error))
    print(len(file.read_bytes()))


def with_clients_that_are_dropped() -> None:
    """Clients that are no longer referenced are closed: their connections end, without a warning."""
    kept = Api()
    kept.run(RUN).file("small-0.bin").read_bytes()
    before = open_sockets()
    for _ in range(3):
        Api().run(RUN).file("small-0.bin").read_bytes()
    wait_until(lambda: open_sockets() == before)
    print("closed")


def with_a_client_that_is_dropped_in_the_io_thread() -> None:
    """The garbage collector may find a client in any thread, including its I/O thread."""
    kept = Api()
    kept.run(RUN).file("small-0.bin").read_bytes()
    before = open_sockets()
    gc.disable()
    cycle: list[object] = [Api()]
    cycle.append(cycle)
    cycle[0].run(RUN).file("small-0.bin").read_bytes()  # type: ignore[attr-defined]
    del cycle
    kept.run(RUN).files(names=["small-0.bin"]).download(root, on_result=lambda _: print(gc.collect() > 0))
    wait_until(lambda: open_sockets() == before)
    print("closed")


def with_a_stream_that_alone_is_held() -> None:
    """An iteration keeps its client alive."""
    print(sum(map(len, Api().run(RUN).file("large.bin").stream())))
    print(sum(len(page) for page in Api().run(RUN).files(pattern="small%", per_page=7).pages()))
    print(sum(file.size for file in Api().run(RUN).files(pattern="small%", per_page=7)))


def with_clients_that_are_closed() -> None:
    """Closing twice is harmless; a closed client raises a clear error."""
    with Api() as api:
        file = api.run(RUN).file("small-0.bin")
    api.close()
    try:
        file.read_bytes()
    except ConfigurationError as error:
        print(error)
    with Api() as again, file.download(root, api=again) as handle:
        print(os.fstat(handle.fileno()).st_size)


def open_sockets() -> int:
    """Count the sockets that this process has open."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that listed the folder
            count += str(descriptor.readlink()).startswith("socket:")
    return count


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


scenarios: dict[str, Callable[[], None]] = {
    scenario.__name__: scenario
    for scenario in (
        in_a_running_loop,
        in_a_callback_of_a_running_loop,
        in_twenty_threads,
        in_twenty_threads_over_one_listing,
        in_a_pool,
        in_callbacks,
        with_clients_that_are_dropped,
        with_a_client_that_is_dropped_in_the_io_thread,
        with_a_stream_that_alone_is_held,
        with_clients_that_are_closed,
    )
}
scenarios[sys.argv[1]]()
