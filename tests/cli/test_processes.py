"""``wbfiles`` as a process: on a terminal, in a pipe, and stopped by signals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import IO

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from rich.cells import cell_len
from systems import WINDOWS
from terminal import SECONDS, WBFILES, Terminal, environment, started, wait_for
from throttle import HoldingServer

from wbfiles_async import Api
from wbfiles_async._cli import main
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._thread import Service

RUN = "team/project/run1"
MIB = 1 << 20


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from wbfiles_async._cli import main
sys.exit(main())
"""
"""Runs ``wbfiles`` as if a package was not installed."""


def files_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


class PagedServer(LocalServer):
    """Holds back all pages of a listing but the first until `release` is called."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._pages = 0
        self._gate: Future[None] = Future()

    def release(self) -> None:
        self._gate.set_result(None)

    def _services(self) -> tuple[Service, Service]:
        api, store = super()._services()
        api.app.middlewares.append(self._hold)
        return api, store

    @web.middleware
    async def _hold(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._pages += 1
        if self._pages > 1:
            await asyncio.shield(asyncio.wrap_future(self._gate))
        return await handler(request)


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[HoldingServer]:
    """A run of one small file, and a large one that stops in its middle."""
    with HoldingServer(tmp_path / "served") as server:
        server.add_file(RUN, "small.txt", b"small")
        server.add_file(RUN, "held/model.bin", bytes(4 * MIB))
        yield server


class TestTerminal:
    def test_get_shows_progress_and_then_a_summary(self, holding: HoldingServer, tmp_path: Path) -> None:
        with Terminal(["get", RUN, "--root", "data"], environment(holding), tmp_path) as terminal:
            terminal.read_until(lambda text: "1 of 2 files" in text and "2.0 of 4.0 MiB" in text)
            assert "held/model.bin" in terminal.text
            holding.release()
            assert terminal.read_to_end() == 0
        last = terminal.text.splitlines()[-1]
        assert re.fullmatch(r"2 files, 4\.0 MiB in [0-9.]+ s, all verified, in data", last)
        assert "downloaded" not in terminal.text
        assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l"), "the cursor is shown again"
        assert terminal.raw.rindex("\x1b[2K") > terminal.raw.rindex("━"), "the bars are gone"
        assert all(len(line) <= 80 for line in terminal.text.replace("\r", "\n").splitlines())

    def test_get_draws_progress_with_redirected_stdout(self, holding: HoldingServer, tmp_path: Path) -> None:
        with (
            (tmp_path / "lines").open("w+") as lines,
            Terminal(["get", RUN, "--root", "data"], environment(holding), tmp_path, out=lines) as terminal,
        ):
            terminal.read_until(lambda text: "1 of 2 files" in text)
            holding.release()
            assert terminal.read_to_end() == 0
            lines.seek(0)
            assert lines.read() == "small.txt\t5\tdownloaded\nheld/model.bin\t4194304\tdownloaded\n"

    def test_get_quiet_draws_nothing(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        wandb_server.add_file(RUN, "a.txt", b"a")
        with Terminal(["get", RUN, "--quiet"], environment(wandb_server), tmp_path) as terminal:
            assert terminal.read_to_end() == 0
        assert terminal.raw == ""
        assert (tmp_path / "a.txt").read_bytes() == b"a"

    def test_get_writes_plain_lines_on_a_dumb_terminal(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        wandb_server.add_file(RUN, "a.txt", b"a")
        environ = environment(wandb_server) | {"TERM": "dumb"}
        with Terminal(["get", RUN], environ, tmp_path) as terminal:
            assert terminal.read_to_end() == 0
        assert "a.txt\t1\tdownloaded" in terminal.raw
        assert "\x1b" not in terminal.raw

    def test_ls_escapes_control_characters_in_its_table(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        wandb_server.add_file(RUN, "media/[red]image[/red].png", bytes(2048))
        wandb_server.add_file(RUN, "evil\x1b]0;title\x07.txt", b"x")
        wandb_server.add_file(RUN, "long/" + "x" * 100 + ".txt", b"x")
        with Terminal(["ls", RUN], environment(wandb_server), tmp_path) as terminal:
            assert terminal.read_to_end() == 0
        heading, *_ = lines = terminal.text.splitlines()
        assert heading.split() == ["Name", "Size", "Type", "Updated"]
        (row,) = (line for line in lines if "image" in line)
        assert row.startswith("media/[red]image[/red].png")
        assert "2.0 KiB" in row
        assert "evil\\x1b]0;title\\x07.txt" in terminal.text
        assert "\x07" not in terminal.raw
        assert all(len(line) <= 80 for line in lines)
        assert lines[-1] == "3 files, 2.0 KiB"

    def test_wide_characters_fit_into_80_columns(self, tmp_path: Path) -> None:
        name = "媒体/" + "日本語のとても長いファイル名" * 3 + ".png"
        with HoldingServer(tmp_path / "served") as server:
            server.add_file(RUN, f"held{name}", bytes(4 * MIB))
            server.add_file(RUN, f"{name}/.no.wbfiles-part", b"a name that no file gets")
            with Terminal(["ls", RUN], environment(server), tmp_path) as table:
                assert table.read_to_end() == 0
            with Terminal(["get", RUN, "--root", "data"], environment(server), tmp_path) as bars:
                bars.read_until(lambda text: "2.0 of 4.0 MiB" in text and "1 failed" in text)
                drawn = bars.text
                server.release()
                assert bars.read_to_end() == 1
        assert "held媒体/日本語" in table.text
        assert "held媒体/日本語" in drawn
        for text in (table.text, drawn):
            assert max(cell_len(line) for line in text.replace("\r", "\n").splitlines()) <= 80

    def test_ctrl_c_stops_a_download_and_leaves_only_whole_files(self, holding: HoldingServer, tmp_path: Path) -> None:
        data = tmp_path / "data"
        with Terminal(["get", RUN, "--root", "data"], environment(holding), tmp_path) as terminal:
            holding.wait_until_held()
            terminal.read_until(lambda text: "1 of 2 files" in text)
            assert len(files_below(data)) == 2, "a whole file and one in the making"
            terminal.type(b"\x03")
            assert terminal.read_to_end() == 130  # although the server holds the file
        assert files_below(data) == {"small.txt"}
        assert "wbfiles: stopped with 1 file complete in data.\n" in terminal.text
        assert "Traceback" not in terminal.text
        assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l"), "the cursor is shown again"


class TestLines:
    """Text on a terminal of 80 columns wraps at blanks, but not between a number and its unit."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["cat", RUN, "conf.yaml"],
            ["ls", f"{RUN}-missing"],
            ["ls", RUN, "--include", "*.jpg", "--include", "*.jpeg", "--include", "A long pattern"],
            ["get", RUN, "--filters", "{}", "--run", f"{RUN}-other"],
            ["ls", RUN, "--base-url", "http://127.0.0.1:1", "--retries", "0"],
        ],
    )
    def test_messages_wrap_at_blanks(
        self,
        wandb_server: LocalServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
    ) -> None:
        wandb_server.add_file(RUN, "config.yaml", b"a")
        with Terminal(arguments, environment(wandb_server), tmp_path) as terminal:
            assert terminal.read_to_end()
        monkeypatch.setenv("WANDB_BASE_URL", wandb_server.base_url)
        monkeypatch.setenv("WANDB_API_KEY", wandb_server.api_key)
        assert main(arguments)
        unwrapped = capsys.readouterr().err
        lines = terminal.text.rstrip("\n").split("\n")
        assert max(map(len, lines)) <= 80
        assert not any(re.match(r"\s*(s|B|[KMG]iB)\b", line) for line in lines)
        in_time = re.compile(r"in [0-9.]+ s")
        assert in_time.sub("", " ".join(terminal.text.split())) == in_time.sub("", " ".join(unwrapped.split()))

    def test_failures_with_one_cause_are_grouped(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        for name in ("a", "b", "c", "d"):
            wandb_server.add_file(RUN, name, name.encode())
        for name in ("a", "b"):
            (tmp_path / "data" / name / "x").mkdir(parents=True)
        (tmp_path / "data" / "c").symlink_to(tmp_path)
        done = subprocess.run(
            [*WBFILES, "get", RUN, "-o", "data"], env=environment(wandb_server), cwd=tmp_path, capture_output=True,
            text=True, timeout=SECONDS,
        )  # fmt: skip
        lines = done.stderr.partition("wbfiles: ")[2].splitlines()
        assert lines[0] == "3 of 4 files failed:"
        together = [
            "  a",
            "  b",
            "    cannot be written (a folder of that name is in the way): move it or choose another root.",
        ]
        assert "\n".join(together) in "\n".join(lines)
        assert sum("cannot be written" in line for line in lines) == 1

    @pytest.mark.parametrize(
        ("longest", "kinds"),
        [(30, True), (31, False), (50, False), (51, True)],
        ids=["fits", "gives way", "fits so", "is broken anyway"],
    )
    def test_type_column_is_dropped_for_long_names(
        self, wandb_server: LocalServer, tmp_path: Path, longest: int, kinds: bool
    ) -> None:
        wandb_server.add_file(RUN, "x" * longest, b"x")
        with Terminal(["ls", RUN], environment(wandb_server), tmp_path) as terminal:
            assert terminal.read_to_end() == 0
        heading, first, *_ = terminal.text.splitlines()
        assert ("Type" in heading) is kinds
        assert (first.split()[0] == "x" * longest) is (longest <= 50)
        assert max(map(len, terminal.text.splitlines())) <= 80


class TestSignals:
    @pytest.mark.fault(93)
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1 if WINDOWS else signal.SIGHUP])
    def test_each_signal_cleans_up_and_has_its_exit_code(
        self, holding: HoldingServer, tmp_path: Path, number: signal.Signals
    ) -> None:
        data = tmp_path / "data"
        with started(["get", RUN, "--root", "data"], holding, tmp_path) as child:
            holding.wait_until_held()
            assert child.stdout is not None
            out = child.stdout.readline()  # the file appears shortly before its line
            wait_for(lambda: len(files_below(data)) == 2)
            child.send_signal(number)
            more, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 128 + number
        assert more == ""
        assert files_below(data) == {"small.txt"}
        assert out == "small.txt\t5\tdownloaded\n"
        assert err.startswith("wbfiles: stopped with 1 file complete in data.\n")
        assert "Run the same command again to download what is missing." in err

    @pytest.mark.parametrize(
        ("existing", "again"), [("verify", "the same command again"), ("replace", "it again with")]
    )
    def test_interrupt_message_suits_pipe_and_terminal(
        self, holding: HoldingServer, tmp_path: Path, existing: str, again: str
    ) -> None:
        arguments = ["get", RUN, "--root", "data", "--json", "--existing", existing]
        with started(arguments, holding, tmp_path) as child:
            holding.wait_until_held()
            assert child.stdout is not None
            first = json.loads(child.stdout.readline())
            child.send_signal(signal.SIGTERM)
            more, err = child.communicate(timeout=SECONDS)
        assert (first["name"], first["status"], more) == ("small.txt", "downloaded", "")
        assert child.returncode == 143
        assert f"Run {again}" in err

    @pytest.mark.fault(93)
    def test_repeated_signals_change_nothing(self, holding: HoldingServer, tmp_path: Path) -> None:
        with started(["get", RUN, "--root", "data"], holding, tmp_path) as child:
            holding.wait_until_held()
            for _ in range(20):
                child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 130
        assert files_below(tmp_path / "data") <= {"small.txt"}
        assert "Traceback" not in err


class TestPipe:
    def test_ls_writes_the_first_page_before_the_second_arrives(self, tmp_path: Path) -> None:
        with PagedServer(tmp_path / "served") as server:
            for number in range(1001):
                server.add_file(RUN, f"{number:04}.txt", b"")
            with started(["ls", RUN], server, tmp_path) as child:
                assert child.stdout is not None
                first = [child.stdout.readline() for _ in range(1000)]
                server.release()
                rest, err = child.communicate(timeout=SECONDS)
        assert first[-1].startswith("0999.txt\t0\t")
        assert rest.startswith("1000.txt\t0\t")
        assert (child.returncode, err) == (0, "")

    @pytest.mark.parametrize("arguments", [["ls", RUN], ["ls", RUN, "--json"], ["get", RUN, "--dry-run"]])
    def test_closed_reader_ends_it_quietly(
        self, wandb_server: LocalServer, tmp_path: Path, arguments: list[str]
    ) -> None:
        for number in range(600):  # more than a pipe holds
            wandb_server.add_file(RUN, f"{number:04}-{'x' * 200}", b"")
        with started(arguments, wandb_server, tmp_path) as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.stdout.close()
            assert child.stderr is not None
            assert child.stderr.read() == ""
            assert child.wait(SECONDS) == 141

    def test_forced_colours_do_not_make_a_pipe_a_terminal(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        wandb_server.add_file(RUN, "a.txt", b"a")
        environ = environment(wandb_server) | {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}
        child = subprocess.run([*WBFILES, "get", RUN], cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert child.stdout == "a.txt\t1\tdownloaded\n"
        assert "\x1b" not in child.stderr

    def test_names_are_written_whatever_the_encoding_of_the_output(
        self, wandb_server: LocalServer, tmp_path: Path
    ) -> None:
        wandb_server.add_file(RUN, "höhe-日本.txt", b"a")
        environ = environment(wandb_server) | {"PYTHONIOENCODING": "ascii"}
        child = subprocess.run([*WBFILES, "ls", RUN], cwd=tmp_path, env=environ, capture_output=True)
        assert child.returncode == 0
        assert child.stdout.startswith(b"h\\xf6he-\\u65e5\\u672c.txt\t1\t")


class TestServe:
    def test_serve_prints_settings_and_stops_on_ctrl_c(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        folder = tmp_path / "runs"
        (folder / RUN).mkdir(parents=True)
        (folder / RUN / "a.txt").write_bytes(b"a")
        with started(["serve", "runs"], wandb_server, tmp_path) as child:
            base_url, api_key = exported(child.stdout)
            assert base_url.startswith("http://127.0.0.1:")
            with Api(base_url=base_url, api_key=api_key) as api:
                assert api.run(RUN).file("a.txt").read_bytes() == b"a"
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 0
        assert out == ""
        assert f"wbfiles ls {RUN}" in err
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(base_url.rpartition(":")[2])))

    def test_custom_key_is_accepted_and_not_printed(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        key = "mine" * 10
        (tmp_path / "runs" / RUN).mkdir(parents=True)
        with started(["serve", "runs", "--api-key", key], wandb_server, tmp_path) as child:
            assert child.stdout is not None
            base_url = child.stdout.readline().partition("=")[2].strip()
            with Api(base_url=base_url, api_key=key) as api:
                assert len(api.run(RUN).files()) == 0
            child.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 0
        assert key not in out + err

    def test_port_in_use_is_reported(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        port = wandb_server.base_url.rpartition(":")[2]
        with started(["serve", ".", "--port", port], wandb_server, tmp_path) as child:
            _, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 1
        assert err.startswith(f"wbfiles: cannot listen on 127.0.0.1, port {port}: Address already in use")
        assert "Traceback" not in err


def exported(out: IO[str] | None) -> tuple[str, str]:
    assert out is not None
    lines = [out.readline().strip(), out.readline().strip()]
    (base_url,) = re.fullmatch(r"export WANDB_BASE_URL=(\S+)", lines[0]).groups()  # type: ignore[union-attr]
    (api_key,) = re.fullmatch(r"export WANDB_API_KEY=(\w{40})", lines[1]).groups()  # type: ignore[union-attr]
    return base_url, api_key


class TestDemo:
    @pytest.fixture
    def environ(self, tmp_path: Path) -> dict[str, str]:
        """A hostile environment: another server's settings, a missing proxy, a folder for temporary files."""
        (tmp_path / "temporary").mkdir()
        return os.environ | {
            "TMPDIR": str(tmp_path / "temporary"),
            "WANDB_BASE_URL": "https://nowhere.invalid",
            "WANDB_API_KEY": "0" * 40,
            "WANDB_HTTP_TIMEOUT": "nonsense",
            "HTTP_PROXY": "http://127.0.0.1:1",
            "http_proxy": "http://127.0.0.1:1",
            "TERM": "xterm",
        }

    def demo(self, folder: Path, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*WBFILES, "demo", *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=60
        )

    def test_demo_downloads_a_sample_and_leaves_only_its_folder(self, tmp_path: Path, environ: dict[str, str]) -> None:
        folder = tmp_path / "here"
        folder.mkdir()
        first = self.demo(folder, environ)
        assert first.returncode == 0
        assert "Killed. The same command again:\n" in first.stderr
        assert [path.name for path in folder.iterdir()] == ["wbfiles-demo"]
        assert list((tmp_path / "temporary").iterdir()) == []
        assert "The files are in wbfiles-demo\n" in first.stdout
        together = re.search(r"together +(\d+) +48\.0 MiB +([0-9.]+) MiB +(\d+) +[0-9.]+\n", first.stdout)
        assert together is not None
        files, resumed, verified = int(together[1]), float(together[2]), int(together[3])
        names = files_below(folder / "wbfiles-demo")
        assert files == verified == len(names)
        assert 8 <= resumed < 48, "what was noted before the kill"
        assert "metrics/train/epoch-00.csv" in names
        second = self.demo(folder, environ)
        assert second.returncode == 0
        assert f"{files} files of an earlier demo" in second.stdout
        assert "Killed" not in second.stderr
        assert files_below(folder / "wbfiles-demo") == names

    def test_demo_does_not_replace_foreign_files(self, tmp_path: Path, environ: dict[str, str]) -> None:
        (tmp_path / "config.yaml").write_text("mine")
        ending = self.demo(tmp_path, environ, "--root", ".")
        assert ending.returncode == 2
        assert ending.stderr.startswith("wbfiles: config.yaml exists and is not of this demo")
        assert (tmp_path / "config.yaml").read_text() == "mine"
        assert files_below(tmp_path) == {"config.yaml"}

    def test_demo_shows_progress_on_a_terminal(self, tmp_path: Path, environ: dict[str, str]) -> None:
        with Terminal(["demo"], environ, tmp_path) as terminal:
            assert terminal.read_to_end() == 0
        assert re.search(r"of 23 files|Listing the files", terminal.text)
        assert "together" in terminal.text
        assert all(len(line) <= 80 for line in terminal.text.replace("\r", "\n").splitlines())


class TestMissingPackages:
    def run(self, missing: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = WITHOUT.format(missing=missing)
        return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)

    @pytest.mark.parametrize("missing", ["click", "rich"])
    def test_without_the_extra_cli_it_says_how_to_install_it(self, missing: str) -> None:
        ending = self.run(missing, "--help")
        assert ending.returncode == 2
        assert len(ending.stderr.splitlines()) == 1
        assert "pip install '.[cli]'" in ending.stderr

    @pytest.mark.parametrize("arguments", [["serve", "."], ["demo"]])
    def test_without_the_extra_server_it_says_how_to_install_it(self, arguments: list[str]) -> None:
        ending = self.run("graphql", *arguments)
        assert ending.returncode == 2
        assert len(ending.stderr.splitlines()) == 1
        assert "pip install '.[server]'" in ending.stderr

    def test_listing_needs_no_server(self, wandb_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
        wandb_server.add_file(RUN, "a.txt", b"a")
        monkeypatch.setenv("WANDB_BASE_URL", wandb_server.base_url)
        monkeypatch.setenv("WANDB_API_KEY", wandb_server.api_key)
        assert self.run("graphql", "ls", RUN).returncode == 0

    def test_library_imports_neither_click_nor_rich(self) -> None:
        program = "import sys, wbfiles_async; sys.exit(bool({'click', 'rich'} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", program]).returncode == 0
