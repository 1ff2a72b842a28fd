"""Progress of downloads: for the caller's objects, on terminals and elsewhere."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest
from scripted_server import RUN, Answer, ScriptedServer, Stored, client, remote, temporaries
from scripted_server import server as server
from terminal import Terminal, environment
from throttle import HoldingServer

from wbfiles_async import FileResult
from wbfiles_async._display import plain
from wbfiles_async._display.painter import Painter
from wbfiles_async._display.tally import Tally
from wbfiles_async.testing import LocalServer

MIB = 1 << 20
SMALL = b"small" * 1000
LARGE = bytes(range(256)) * 4096 * 2
each_size = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in memory", "in parts"])
each_method = pytest.mark.parametrize("method", ["started", "advanced", "finished"])


class Watcher:
    """Records the calls, and raises in one of them."""

    def __init__(self, raises: str = "") -> None:
        self._raises = raises
        self.events: list[str] = []

    def started(self, name: str, total: int | None) -> None:
        self._note("started", name, total)

    def advanced(self, name: str, count: int) -> None:
        self._note("advanced", name)

    def finished(self, name: str) -> None:
        self._note("finished", name)

    def failed(self, name: str, error: Exception) -> None:
        self._note("failed", name)

    def _note(self, *what: object) -> None:
        self.events.append(" ".join(map(str, what)))
        if what[0] == self._raises:
            raise ZeroDivisionError(self._raises)


class TestCallerObjects:
    async def test_unknown_total_is_none(self, server: ScriptedServer, tmp_path: Path) -> None:
        node, watcher = server.put("a", SMALL, sizeBytes=None), Watcher()
        async with client(server) as api:
            await remote(api, node).fetch(tmp_path, progress=watcher)
        assert watcher.events[0] == "started a None"
        assert watcher.events[-1] == "finished a"

    async def test_each_downloaded_file_is_started_and_finished_but_no_kept_one(
        self, server: ScriptedServer, tmp_path: Path
    ) -> None:
        (tmp_path / "there").write_bytes(SMALL)
        for name in ("there", "a", "b"):
            server.put(name, SMALL)
        server.put("c", SMALL, Answer(status=404))
        watcher = Watcher()
        async with client(server) as api:
            await api.run(RUN).download(tmp_path, progress=watcher, raise_on_error=False)
        ends = [event for event in watcher.events if not event.startswith("advanced")]
        assert sorted(ends) == [
            *("failed c", "finished a", "finished b"),
            *(f"started {name} {len(SMALL)}" for name in "abc"),
        ]

    @each_size
    @each_method
    async def test_exception_ends_the_download_without_leftovers(
        self, server: ScriptedServer, tmp_path: Path, method: str, data: bytes
    ) -> None:
        node = server.put("a", data)
        (tmp_path / "a").write_bytes(b"old")
        async with client(server, part_size=MIB // 2) as api:
            with pytest.raises(ZeroDivisionError, match=method):
                await remote(api, node).fetch(tmp_path, replace=True, progress=Watcher(method))
            assert not temporaries(tmp_path)
            assert (tmp_path / "a").read_bytes() == (data if method == "finished" else b"old")
            await remote(api, node).fetch(tmp_path, replace=True)
        assert (tmp_path / "a").read_bytes() == data

    async def test_exception_in_failed_keeps_the_original_error(self, server: ScriptedServer, tmp_path: Path) -> None:
        node = server.put("a", SMALL, Answer(status=404))
        async with client(server) as api:
            with pytest.raises(ZeroDivisionError) as caught:
                await remote(api, node).fetch(tmp_path, progress=Watcher("failed"))
        assert isinstance(caught.value.__context__, FileNotFoundError)
        assert list(tmp_path.iterdir()) == []

    @each_method
    async def test_exception_ends_a_bulk_download_without_leftovers(
        self, server: ScriptedServer, tmp_path: Path, method: str
    ) -> None:
        contents = {f"{n}": SMALL for n in range(20)} | {"large": LARGE}
        for name, data in contents.items():
            server.put(name, data, Stored(data))
        async with client(server, part_size=MIB // 2) as api:
            with pytest.raises(ZeroDivisionError, match=method):
                await api.run(RUN).download(tmp_path, progress=Watcher(method))
            assert not temporaries(tmp_path)
            assert all(path.read_bytes() == contents[path.name] for path in tmp_path.iterdir())
            report = await api.run(RUN).download(tmp_path)
        assert report.verified == len(contents)


FETCH = "from wbfiles_async import Api; print(Api().run({run!r}).file('held/a').fetch('data', progress=True))"
DOWNLOAD = """
from wbfiles_async import Api
report = Api().run({run!r}).download("data", progress=True, on_result=lambda result: print(result.name, "reported"))
print(report.downloaded, "done")
"""
ASYNC = """
import asyncio
from wbfiles_async import AsyncApi
async def main():
    async with AsyncApi() as api:
        file = await api.run({run!r}).file("held/a")
        async with await file.download("data", progress=True) as text:
            print(len(await text.read()))
asyncio.run(main())
"""
SEVERAL = """
import asyncio, threading
from wbfiles_async import Api, AsyncApi
def beside():
    Api().run({run!r}).file("held/a").fetch("data", progress=True)
async def main():
    async with AsyncApi() as api:
        files = [await api.run({run!r}).file(name) for name in ("held/b", "held/c")]
        await asyncio.gather(asyncio.to_thread(beside), *(file.fetch("data", progress=True) for file in files))
        print("all", flush=True)
        await api.run({run!r}).download("data", progress=True)
asyncio.run(main())
"""
PROJECT = """
from wbfiles_async import Api
runs = Api().runs({run!r}.rpartition("/")[0])
print(runs.download("data", progress=True).downloaded, "done")
"""
FAILS = """
from wbfiles_async import Api
def fail(result):
    raise ZeroDivisionError
Api().run({run!r}).download("data", progress=True, on_result=fail)
"""
WITHOUT_RICH = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "rich":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
SHOW, HIDE = "\x1b[?25h", "\x1b[?25l"


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[HoldingServer]:
    """A run of one small file, and three that stop midway."""
    with HoldingServer(tmp_path / "served") as server:
        server.add_file(RUN, "small.txt", b"small")
        for name in "abc":
            server.add_file(RUN, f"held/{name}", b"." * 4 * MIB)
        yield server


@pytest.fixture
def on_terminal(holding: HoldingServer, tmp_path: Path) -> Callable[[str], Terminal]:
    def begin(program: str) -> Terminal:
        code = program.format(run=RUN)
        return Terminal([], environment(holding), tmp_path, program=[sys.executable, "-c", code])

    return begin


def in_order(terminal: Terminal) -> bool:
    """Return whether the cursor is visible and the display removed."""
    last = terminal.text.splitlines()[-1]
    return terminal.raw.rfind(SHOW) > terminal.raw.rfind(HIDE) and "/s" not in last


class TestTerminal:
    @pytest.mark.parametrize("program", [FETCH, ASYNC], ids=["blocking", "async"])
    def test_one_file_is_shown_while_it_downloads(
        self, on_terminal: Callable[[str], Terminal], holding: HoldingServer, program: str
    ) -> None:
        with on_terminal(program) as terminal:
            terminal.read_until(lambda text: "0 of 1 file, 2.0 of 4.0 MiB" in text)
            holding.release()
            assert terminal.read_to_end() == 0
        assert in_order(terminal)
        assert terminal.text.splitlines()[-1] in ("data/held/a", f"{4 * MIB}")

    def test_total_is_shown_and_printed_lines_stay_intact(
        self, on_terminal: Callable[[str], Terminal], holding: HoldingServer
    ) -> None:
        with on_terminal(DOWNLOAD) as terminal:
            terminal.read_until(lambda text: "1 of 4 files, 6.0 of 12.0 MiB" in text)
            holding.release()
            assert terminal.read_to_end() == 0
        assert in_order(terminal)
        lines = [line.strip() for line in re.split(r"[\r\n]+", terminal.text)]
        for line in ("small.txt reported", *(f"held/{name} reported" for name in "abc"), "4 done"):
            assert line in lines

    def test_project_is_shown_with_the_total_of_all_its_runs(
        self, on_terminal: Callable[[str], Terminal], holding: HoldingServer
    ) -> None:
        for number in range(30):
            holding.add_file(RUN + "2", f"small/{number}", b"." * 1024)
        with on_terminal(PROJECT) as terminal:
            terminal.read_until(lambda text: re.search(r"of 34 files, 6\.0 of 12\.0 MiB", text))
            holding.release()
            assert terminal.read_to_end() == 0
        assert in_order(terminal)
        assert "34 done" in terminal.text

    def test_concurrent_downloads_share_the_display(
        self, on_terminal: Callable[[str], Terminal], holding: HoldingServer
    ) -> None:
        with on_terminal(SEVERAL) as terminal:
            terminal.read_until(lambda text: all(f"held/{name}" in text for name in "abc"))
            holding.release()
            assert terminal.read_to_end() == 0
        assert in_order(terminal)
        assert "all" in terminal.text
        assert "Traceback" not in terminal.text

    @pytest.mark.parametrize("program", [FETCH, DOWNLOAD, ASYNC], ids=["one", "many", "async"])
    def test_ctrl_c_restores_the_terminal(
        self, on_terminal: Callable[[str], Terminal], program: str, tmp_path: Path
    ) -> None:
        with on_terminal(program) as terminal:
            terminal.read_until(lambda text: ".0 MiB" in text)
            terminal.type(b"\x03")
            assert terminal.read_to_end() != 0
        assert in_order(terminal)
        assert terminal.text.splitlines()[-1] == "KeyboardInterrupt"
        screen = pyte.Screen(80, 200)
        pyte.Stream(screen).feed(terminal.raw)
        left = [line for line in screen.display if "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in line or "MiB" in line]
        assert left == [], "of the picture nothing is left"
        assert not temporaries(tmp_path)

    def test_error_restores_the_terminal(self, on_terminal: Callable[[str], Terminal]) -> None:
        with on_terminal(FAILS) as terminal:
            assert terminal.read_to_end() == 1
        assert in_order(terminal)
        assert terminal.text.splitlines()[-1] == "ZeroDivisionError"

    def test_without_rich_the_error_names_the_extra(self, on_terminal: Callable[[str], Terminal]) -> None:
        with on_terminal(WITHOUT_RICH + FETCH) as terminal:
            assert terminal.read_to_end() == 1
        assert "ConfigurationError" in terminal.text
        assert "pip install '.[cli]'" in terminal.text.replace("\n", "")


class TestNoProgress:
    @pytest.mark.parametrize("terminal", ["none", "dumb"])
    def test_no_progress_draws_lists_and_loads_nothing(
        self, wandb_server: LocalServer, tmp_path: Path, terminal: str
    ) -> None:
        wandb_server.add_file(RUN, "held/a", SMALL)
        program = WITHOUT_RICH + DOWNLOAD.format(run=RUN)
        environ = environment(wandb_server)
        if terminal == "dumb":
            with Terminal([], environ | {"TERM": "dumb"}, tmp_path, program=[sys.executable, "-c", program]) as screen:
                assert screen.read_to_end() == 0
            output = screen.raw.replace("\r\n", "\n")
        else:
            child = subprocess.run(
                [sys.executable, "-c", program], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
            )
            assert child.stderr == ""
            output = child.stdout
        assert output == "held/a reported\n1 done\n"
        assert [request.operation for request in wandb_server.requests].count("RunFiles") == 1

    async def test_false_is_like_none(
        self, server: ScriptedServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        node = server.put("a", SMALL)
        async with client(server) as api:
            await remote(api, node).fetch(tmp_path, progress=False)
        assert (tmp_path / "a").read_bytes() == SMALL
        assert capfd.readouterr() == ("", "")


class Canvas:
    """Records what is drawn, and how many canvases are open at once."""

    def __init__(self, fails: Exception | None = None) -> None:
        self._fails = fails
        self.open = self.most_open = self.times = 0
        self.drawn: list[Sequence[Tally]] = []
        self.has_drawn = threading.Event()

    @contextmanager
    def __call__(self) -> Iterator[Callable[[Sequence[Tally]], None]]:
        self.open += 1
        self.times += 1
        self.most_open = max(self.most_open, self.open)
        try:
            yield self._draw
        finally:
            self.open -= 1

    def _draw(self, tallies: Sequence[Tally]) -> None:
        self.drawn.append(tallies)
        self.has_drawn.set()
        if self._fails is not None:
            raise self._fails


class TestTally:
    def tally(self, *sizes: int | None) -> Tally:
        tally = Tally()
        tally.expect(len(sizes), sum(size or 0 for size in sizes))
        tally.listed = True
        return tally

    def arrive(self, tally: Tally, name: str, count: int, total: int | None) -> None:
        tally.started(name, total)
        tally.advanced(name, count)
        if count == total:
            tally.finished(name)
            tally.ended(FileResult(name=name, status="downloaded", size=count))

    def test_share_done_is_counted_in_bytes(self) -> None:
        tally = self.tally(*[MIB] * 8, 40 * MIB)
        for number in range(8):
            self.arrive(tally, f"small/{number}", MIB, MIB)
        assert tally.share == 8 / 48
        assert tally.words() == "8 of 9 files, 8.0 of 48.0 MiB, 0 B/s"

    def test_share_done_is_counted_in_files_if_all_are_empty(self) -> None:
        tally = self.tally(0, 0, 0, 0)
        tally.ended(FileResult(name="a", status="downloaded"))
        assert tally.share == 1 / 4
        assert self.tally().share == 1

    def test_time_left_is_estimated_from_the_bytes_left(self) -> None:
        tally = self.tally(*[MIB] * 100, 300 * MIB)
        tally.remember(10.0)
        for number in range(100):
            self.arrive(tally, f"small/{number}", MIB, MIB)
        tally.remember(12.0)
        assert tally.bytes_a_second == 50 * MIB
        assert tally.seconds_left == 6.0
        assert tally.words().endswith("50.0 MiB/s, 0:06 left")

    def test_rate_counts_received_bytes(self) -> None:
        tally = Tally()
        tally.started("a", 100 * MIB)
        tally.remember(0.0)
        tally.resumed("a", 50 * MIB)
        tally.advanced("a", 4 * MIB)
        tally.remember(1.0)
        assert (tally.bytes_done, tally.bytes_a_second) == (54 * MIB, 4 * MIB)
        tally.advanced("a", -54 * MIB)  # it is begun again
        tally.advanced("a", 2 * MIB)
        tally.remember(2.0)
        assert (tally.bytes_done, tally.bytes_a_second) == (2 * MIB, 3 * MIB)

    def test_rate_covers_the_last_seconds(self) -> None:
        tally = self.tally(100 * MIB)
        tally.started("a", 100 * MIB)
        for second in range(20):
            tally.remember(float(second))
            tally.advanced("a", MIB if second < 10 else 2 * MIB)
        assert tally.bytes_a_second == 2 * MIB
        tally.remember(60.0)  # rarely looked at: since the last time
        assert tally.bytes_a_second == 2 * MIB / 41

    def test_failed_and_kept_files_count_as_done(self) -> None:
        tally = self.tally(MIB, MIB, 2 * MIB)
        self.arrive(tally, "broken", MIB // 2, MIB)
        tally.failed("broken", OSError())
        tally.ended(FileResult(name="broken", status="failed", size=MIB))
        tally.ended(FileResult(name="kept", status="kept", size=MIB))
        assert tally.share == 1 / 2
        self.arrive(tally, "large", 2 * MIB, 2 * MIB)
        assert tally.share == 1
        assert tally.words() == "3 of 3 files, 3.0 of 4.0 MiB, 1 failed"

    def test_bytes_of_unknown_length_add_to_the_total(self) -> None:
        tally = self.tally(MIB, None)
        self.arrive(tally, "unknown", 3 * MIB, None)
        assert tally.words() == "0 of 2 files, 3.0 of 4.0 MiB, 0 B/s"
        tally.failed("unknown", OSError())
        assert tally.words() == "0 of 2 files, 0 B of 1.0 MiB, 0 B/s"

    def test_no_total_before_listing_ends(self) -> None:
        tally = Tally()
        assert (tally.words(), tally.share) == ("Listing the files", None)
        tally.expect(2, 2 * MIB)
        for name in "abc":
            self.arrive(tally, name, 5 * MIB, 5 * MIB)
        tally.remember(1.0)
        assert tally.words() == "3 of 3 files or more, 15.0 MiB, 0 B/s"
        assert (tally.share, tally.seconds_left) == (None, None)


PLAIN = """
import sys
from functools import partial
from wbfiles_async import Api
from wbfiles_async._display import plain
from wbfiles_async._display.painter import Painter
plain._painter = Painter(partial(plain.lines, 0.0), seconds=0.01)
if {closed}:
    sys.stderr.close()
report = Api().run({run!r}).download("data", progress=True)
print(report.downloaded, "done")
"""


class TestPlainLines:
    """Where there is no terminal."""

    def test_lines_state_the_share_done(self, holding: HoldingServer, tmp_path: Path) -> None:
        child = subprocess.Popen(
            [sys.executable, "-c", PLAIN.format(run=RUN, closed=False)],
            cwd=tmp_path,
            env=environment(holding),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stderr is not None
            line = next(line for line in child.stderr if "6.0 of 12.0 MiB" in line)
            assert re.fullmatch(r"wbfiles: 1 of 4 files, 6\.0 of 12\.0 MiB, .*/s.*\n", line)
            holding.release()
            rest = child.stderr.read()
            assert "\x1b" not in rest
            assert all(line.startswith("wbfiles: ") for line in rest.splitlines())
            assert child.stdout is not None
            assert child.stdout.read() == "4 done\n"

    def test_closed_stderr_does_not_fail_a_download(self, holding: HoldingServer, tmp_path: Path) -> None:
        holding.release()
        code = [sys.executable, "-c", PLAIN.format(run=RUN, closed=True)]
        child = subprocess.run(code, cwd=tmp_path, env=environment(holding), capture_output=True, text=True, check=True)
        assert (child.stdout, child.stderr) == ("4 done\n", "")

    def test_lines_are_rate_limited(self, capsys: pytest.CaptureFixture[str]) -> None:
        with plain.lines(3600.0) as draw:
            for _ in range(100):
                draw([Tally()])
        with plain.lines(0.0) as draw:
            draw([Tally(), Tally()])
        assert capsys.readouterr().err == "wbfiles: Listing the files\n" * 2


class TestPainter:
    async def test_one_canvas_lasts_from_first_to_last_download(self) -> None:
        canvas, first, second = Canvas(), Tally(), Tally()
        painter = Painter(canvas)
        async with painter.showing(first):
            await asyncio.to_thread(canvas.has_drawn.wait)
            async with painter.showing(second):
                pass
            assert canvas.drawn[-1] == (first,), "who has left is no longer in the picture"
            assert canvas.open == 1
        assert (canvas.open, canvas.times) == (0, 1)

    async def test_new_canvas_for_later_downloads(self) -> None:
        canvas = Canvas()
        painter = Painter(canvas)
        for _ in range(3):
            canvas.has_drawn.clear()
            async with painter.showing(Tally()):
                await asyncio.to_thread(canvas.has_drawn.wait)
            assert canvas.open == 0

    def test_many_loops_and_threads_share_one_display(self) -> None:
        canvas = Canvas()
        painter = Painter(canvas)

        async def show() -> None:
            for _ in range(50):
                async with painter.showing(Tally()):
                    await asyncio.sleep(0)

        threads = [threading.Thread(target=asyncio.run, args=(show(),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (canvas.open, canvas.most_open) == (0, 1)

    async def test_lost_terminal_does_not_fail_a_download(self) -> None:
        canvas = Canvas(fails=OSError(5, os.strerror(5)))
        painter = Painter(canvas)
        async with asyncio.timeout(10), painter.showing(Tally()):
            await asyncio.to_thread(canvas.has_drawn.wait)
        async with asyncio.timeout(10), painter.showing(Tally()):
            pass
        assert canvas.open == 0

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    async def test_display_that_cannot_be_drawn_blocks_nothing(self) -> None:
        canvas = Canvas(fails=ZeroDivisionError())
        async with asyncio.timeout(10), Painter(canvas).showing(Tally()):
            await asyncio.to_thread(canvas.has_drawn.wait)
        assert canvas.open == 0
        for thread in threading.enumerate():  # what it dies of is this test's
            if thread.name == "wbfiles-display":
                thread.join()


async def test_display_without_a_thread_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    canvas = Canvas()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        async with Painter(canvas).showing(Tally()):
            pass
    assert canvas.times == 0
