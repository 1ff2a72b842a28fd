"""Is interrupted during a download, and reports the exception, the leftovers, and what still works: SCENARIO ROOT."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from wbfiles_async import Api
from wbfiles_async._disk.part_file import PartFile
from wbfiles_async._sync import portal as _portal

RUN = "team/project/run"

root = Path(sys.argv[2])
api = Api()
may_write = threading.Event()


def write_line(line: str) -> None:
    """Write a line in one piece, since other threads write too."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def during_file_download() -> None:
    """One file, midway."""
    api.run(RUN).file("held.bin").download(root)


def during_run_download() -> None:
    """Many files, one of them midway, the others complete."""
    api.run(RUN).download(root)


def during_stream() -> None:
    """A file that is read piece by piece."""
    for _ in api.run(RUN).file("held.bin").stream():
        pass


def twice_with_a_disk_that_hangs() -> None:
    """One file whose write does not return: the first Ctrl-C waits for it, the second one does not."""
    write_at_once = PartFile.write

    def write(file: PartFile, offset: int, pieces: Sequence[bytes | memoryview]) -> None:
        print("writing", flush=True)
        may_write.wait()
        write_at_once(file, offset, pieces)

    cancel_at_once = _portal._Call.cancel

    def cancel(call: _portal._Call[object]) -> None:
        cancel_at_once(call)
        write_line("cancelled")

    PartFile.write = write  # type: ignore[method-assign, assignment]
    _portal._Call.cancel = cancel  # type: ignore[method-assign, assignment]  # reports when the first interruption has arrived
    api.run(RUN).file("large.bin").download(root)


def uncaught() -> None:
    """Like a script that does not expect an interrupt."""
    api.run(RUN).file("held.bin").download(root)


def interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Do what Python does, and report it first."""
    print("interrupt", flush=True)
    raise KeyboardInterrupt


def names_below(folder: Path) -> Sequence[str]:
    """List what is there, hidden files too."""
    return sorted(path.name for path in folder.rglob("*"))


scenarios: dict[str, Callable[[], None]] = {
    scenario.__name__: scenario
    for scenario in (during_file_download, during_run_download, during_stream, twice_with_a_disk_that_hangs, uncaught)
}
signal.signal(signal.SIGINT, interrupt)
try:
    scenarios[sys.argv[1]]()
except KeyboardInterrupt:
    if sys.argv[1] == "uncaught":
        raise
    write_line("caught")
if sys.argv[1] == "twice_with_a_disk_that_hangs":
    may_write.set()
else:
    print(*names_below(root))
print(api.run(RUN).file("small-0.bin").fetch(root / "afterwards").stat().st_size)
