"""Arguments of ``wbfiles``: several runs, several files, sizes by folder, and the common options."""

from __future__ import annotations

import ast
import logging
import re
import socket
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import httpx
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from scripted_server import waits as waits
from terminal import WBFILES, Terminal, environment, started
from test_commands import FILES, RUN, Wbfiles, fetched
from test_commands import no_waits as no_waits
from test_commands import wbfiles as wbfiles
from test_processes import MIB, exported
from test_rm import left

import wbfiles_async
from wbfiles_async import Api, AsyncApi, TransferError, TransferOptions
from wbfiles_async._cli.app import program
from wbfiles_async._cli.ending import explain, in_options
from wbfiles_async._cli.options import Common
from wbfiles_async._cli.sections import ORDER
from wbfiles_async._cli.usage import Sizes, folders_of
from wbfiles_async._cli.writing import is_binary
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._thread import Service

SECOND = "team/project/run2"
OTHER = "team/other/run3"


@pytest.fixture
def runs(wandb_server: LocalServer) -> None:
    for run in (SECOND, OTHER):
        wandb_server.add_file(run, "config.yaml", run.encode())


@pytest.mark.usefixtures("runs")
class TestSeveralRuns:
    def test_each_run_goes_to_a_folder_of_its_own(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("get", RUN, "--run", SECOND, "--run", OTHER, "--exclude", "*.bin", "--exclude", "media/")
        assert ending.code == 0
        assert fetched(Path()) == {
            "run1/config.yaml": FILES["config.yaml"],
            "run2/config.yaml": SECOND.encode(),
            "run3/config.yaml": OTHER.encode(),
        }

    def test_layout_and_urls_are_accepted(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        page = f"{wandb_server.base_url}/team/other/runs/run3/overview"
        ending = wbfiles("get", SECOND, "--run", page, "--layout", "{project}-{run}")
        assert ending.code == 0
        assert fetched(Path()).keys() == {"project-run2/config.yaml", "other-run3/config.yaml"}

    def test_names_missing_from_all_runs_are_reported(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("get", RUN, "config.yaml", "absent.txt", "--run", SECOND)
        assert ending.code == 1
        assert "None of the 2 runs has a file 'absent.txt'." in ending.err
        assert fetched(Path()).keys() == {"run1/config.yaml", "run2/config.yaml"}

    def test_patterns_without_a_match_in_any_run_are_exit_code_4(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("get", RUN, "--run", SECOND, "--include", "*.gif")
        assert (ending.code, ending.out) == (4, "")
        assert "there are 2 runs, and none of their files matches --include '*.gif'" in ending.err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([RUN, "--run", "team/project/"], "team/project/ is a project"),
            (["team/project/", "--run", RUN], "team/project/ is a project"),
            ([RUN, "--run", SECOND, "--filters", "{}"], "--filters"),
            ([RUN, "--run", SECOND, "--pattern", "%"], "use --include"),
            ([RUN, "https://wandb.ai/team/project/runs/run2"], "name further runs with --run"),
        ],
    )
    def test_contradictory_options_are_usage_errors(self, wbfiles: Wbfiles, arguments: list[str], message: str) -> None:
        ending = wbfiles("get", *arguments)
        assert (ending.code, ending.out) == (2, "")
        assert message in ending.err
        assert not fetched(Path())


class TestExplanations:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["cat", "team/project/", "config.yaml"],
        ],
    )
    def test_project_instead_of_a_run_is_a_usage_error(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, arguments: list[str]
    ) -> None:
        ending = wbfiles(*arguments)
        assert (ending.code, ending.out) == (2, "")
        assert f"{arguments[1]} is a project, and a run is needed: " in ending.err
        assert "`wbfiles ls " in ending.err
        assert left(wandb_server) == set(FILES)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["ls", "team/"],
            ["get", "team/"],
            ["du", "team/"],
            ["cat", "team/project", "a"],
            ["rm", "team/project", "a", "-n"],
        ],
    )
    def test_missing_short_path_is_explained(self, wbfiles: Wbfiles, arguments: list[str]) -> None:
        ending = wbfiles(*arguments)
        assert (ending.code, ending.out) == (4, "")
        assert "whole, it is ENTITY/PROJECT/RUN, and ENTITY/PROJECT/ for a project" in ending.err

    @pytest.mark.parametrize("arguments", [["ls", "team/missing/"], ["cat", "team/project/absent", "a"]])
    def test_missing_full_path_needs_no_explanation(self, wbfiles: Wbfiles, arguments: list[str]) -> None:
        ending = wbfiles(*arguments)
        assert ending.code == 4
        assert "ENTITY" not in ending.err

    @pytest.mark.parametrize(("name", "hinted"), [("data", True), ("out/", True), ("absent.txt", False)])
    def test_folder_as_last_argument_is_explained(self, wbfiles: Wbfiles, name: str, hinted: bool) -> None:
        ending = wbfiles("get", RUN, name)
        assert ending.code == 4
        assert (f"--root {name}" in ending.err) is hinted
        assert not fetched(Path())


class TestDu:
    def test_folders_are_sorted_by_size(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(RUN, "logs/a.txt", bytes(10))
        ending = wbfiles("du", RUN)
        assert (ending.code, ending.err) == (0, "")
        assert ending.lines == ["5000\t2\tmedia", "10\t1\tlogs", f"{sum(map(len, FILES.values())) + 10}\t5\t."]

    @pytest.mark.parametrize(
        ("depth", "folders"), [("0", ["."]), ("1", ["media", "."]), ("9", ["media", "media/images", "."])]
    )
    def test_depth_limits_the_levels(self, wbfiles: Wbfiles, depth: str, folders: list[str]) -> None:
        assert [line.split("\t")[2] for line in wbfiles("du", RUN, "-d", depth).lines] == folders

    @pytest.mark.usefixtures("runs")
    def test_runs_are_the_first_level_of_a_project(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("du", "team/project/", "--include", "*.yaml", "--json")
        assert ending.objects == [
            {"folder": "run2", "size": len(SECOND), "files": 1},
            {"folder": "run1", "size": 8, "files": 1},
            {"folder": ".", "size": len(SECOND) + 8, "files": 2},
        ]

    def test_terminal_gets_a_table(self, wbfiles: Wbfiles, wandb_server: LocalServer, tmp_path: Path) -> None:
        with Terminal(["du", RUN], environment(wandb_server), tmp_path) as terminal:
            assert terminal.read_to_end() == 0
        heading, *rows = terminal.text.splitlines()
        assert heading.split() == ["Size", "Files", "Folder"]
        assert [row.split() for row in rows] == [["4.9", "KiB", "2", "media"], ["9.0", "MiB", "4", "."]]

    def test_missing_path_is_reported(self, wbfiles: Wbfiles) -> None:
        assert wbfiles("du", RUN, "--include", "*.gif").code == 4
        assert wbfiles("du", RUN, "absent.txt").code == 4
        some = wbfiles("du", RUN, "config.yaml", "absent.txt")
        assert (some.code, some.lines) == (1, ["8\t1\t."])

    def test_memory_depends_on_folders_not_files(self) -> None:
        sizes = Sizes(partial(folders_of, depth=2))
        for number in range(1000):
            sizes.add(f"a/b/{number}/{number}.txt", 1)
        sizes.add("a/c", 5)
        assert list(sizes.rows()) == [("a", 1005, 1001), ("a/b", 1000, 1000), (".", 1005, 1001)]
        assert len(sizes) == 2


class TestSort:
    def test_files_are_sorted_by_name_size_or_time(self, wbfiles: Wbfiles) -> None:
        def names(sort: str) -> list[str]:
            return [line.split("\t")[0] for line in wbfiles("ls", RUN, "--sort", sort).lines]

        assert names("name") == sorted(FILES)
        assert names("size") == ["model.bin", "media/images/b.png", "media/images/a.png", "config.yaml"]
        times = [each["updated_at"] for each in wbfiles("ls", RUN, "--sort", "updated", "--json").objects]
        assert times == sorted(times, reverse=True)
        assert len(times) == len(FILES)


class TestCat:
    def run(self, server: LocalServer, folder: Path, *arguments: str) -> tuple[int, str, str]:
        with started(["cat", *arguments], server, folder) as child:
            out, err = child.communicate()
        return child.returncode, out, err

    def test_files_are_written_one_after_the_other(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        for name in ("a.txt", "b.txt"):
            wandb_server.add_file(RUN, name, name.encode())
        assert self.run(wandb_server, tmp_path, RUN, "b.txt", "a.txt", "b.txt") == (0, "b.txta.txtb.txt", "")

    def test_missing_files_are_reported_and_others_written(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        wandb_server.add_file(RUN, "a.txt", b"a")
        code, out, err = self.run(wandb_server, tmp_path, RUN, "absent.txt", "a.txt")
        assert (code, out) == (1, "a")
        assert "absent.txt" in err
        assert self.run(wandb_server, tmp_path, RUN, "absent.txt", "missing.txt")[0] == 4

    def test_file_page_url_is_accepted(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        wandb_server.add_file(RUN, "logs/a b.txt", b"of the page")
        page = f"{wandb_server.base_url}/team/project/runs/run1/files/logs/a%20b.txt"
        assert self.run(wandb_server, tmp_path, page) == (0, "of the page", "")

    @pytest.mark.parametrize(
        ("arguments", "message"), [([], "Say which file"), (["a", "b", "--range", "0:1"], "--range is for one NAME")]
    )
    def test_contradictory_options_are_usage_errors(self, wbfiles: Wbfiles, arguments: list[str], message: str) -> None:
        ending = wbfiles("cat", RUN, *arguments)
        assert ending.code == 2
        assert message in ending.err

    def test_terminal_gets_no_binary(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        wandb_server.add_file(RUN, "model.bin", b"\x1b[2J\x00" * 1000)
        wandb_server.add_file(RUN, "notes.txt", "käse\n".encode())
        with Terminal(["cat", RUN, "model.bin"], environment(wandb_server), tmp_path) as terminal:
            assert terminal.read_to_end() == 1
        assert "model.bin is binary, and stdout is a terminal" in terminal.raw
        assert "\x1b[2J" not in terminal.raw
        with Terminal(["cat", RUN, "notes.txt", "--range", "2:"], environment(wandb_server), tmp_path) as terminal:
            assert terminal.read_to_end() == 0
        assert terminal.raw.endswith("se\r\n")

    @pytest.mark.parametrize(
        ("beginning", "binary"),
        [(b"", False), (b"plain\n", False), ("käse".encode(), False), ("€".encode()[:2], False), (b"a\x00b", True),
         (b"\x89PNG\r\n", True), (b"\xff\xfea\x00", True)],
    )  # fmt: skip
    def test_text_and_binary_are_distinguished(self, beginning: bytes, binary: bool) -> None:
        assert is_binary(beginning) is binary


class BusyServer(LocalServer):
    """Responds to everything with 503, and counts the requests."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.request_count = 0

    def _services(self) -> tuple[Service, Service]:
        api, store = super()._services()
        api.app.middlewares.append(self._refuse)
        return api, store

    @web.middleware
    async def _refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.request_count += 1
        return web.json_response({}, status=503)


class TestCommon:
    @pytest.mark.usefixtures("no_waits")
    @pytest.mark.parametrize(
        "command", [["ls", RUN], ["get", RUN], ["cat", RUN, "a"], ["rm", RUN, "a", "-n"], ["du", RUN]]
    )
    @pytest.mark.parametrize("retries", [0, 2])
    def test_retries_limit_the_attempts(
        self, wbfiles: Wbfiles, tmp_path: Path, command: list[str], retries: int
    ) -> None:
        with BusyServer(tmp_path / "busy") as server:
            ending = wbfiles(*command, "--base-url", server.base_url, "--retries", str(retries))
            assert ending.code == 1
            assert server.request_count == 1 + retries

    def test_timeout_and_retries_are_accepted_before_and_after_the_command(
        self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api = Common(timeout=2.5, transfer={"attempts": 4}).open_api()
        assert (api._gateway.settings.timeout, api._gateway.options.attempts) == (2.5, 4)
        assert Common().open_api()._gateway.options.attempts == 10
        for arguments in (["--timeout", "0", "ls", RUN], ["ls", RUN, "--timeout", "0"], ["--retries", "-1", "ls", RUN]):
            assert wbfiles(*arguments).code == 2
        assert wbfiles("--timeout", "20", "--retries", "1", "ls", RUN).code == 0

    def test_verbose_shows_library_logs(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        quiet = wbfiles("get", RUN, "config.yaml")
        for arguments in (["-v", "get", RUN, "config.yaml"], ["get", RUN, "config.yaml", "-v"]):
            ending = wbfiles(*arguments)
            assert ending.code == 0
            assert f"server {wandb_server.base_url}" in ending.err
            assert ending.out == quiet.out.replace("downloaded", "kept")
        assert "server" not in quiet.err
        assert wandb_server.api_key not in wbfiles("ls", RUN, "-vv").err

    @pytest.mark.parametrize(
        ("options", "level"),
        [
            ({}, logging.WARNING),
            ({"verbosity": 1}, logging.INFO),
            ({"verbosity": 2}, logging.DEBUG),
            ({"verbosity": 5}, logging.DEBUG),
            ({"verbosity": 2, "quiet": True}, logging.ERROR),
        ],
    )
    def test_each_v_lowers_the_level(self, options: dict[str, int], level: int) -> None:
        assert Common(**options).output().log_level == level  # type: ignore[arg-type]

    def test_logger_level_is_restored(self, wbfiles: Wbfiles) -> None:
        before = logging.getLogger("wbfiles_async").level
        wbfiles("-vv", "ls", RUN)
        assert logging.getLogger("wbfiles_async").level == before

    def test_short_options(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        assert wbfiles("-V") == wbfiles("--version")
        assert wbfiles("get", RUN, "-n").out == wbfiles("get", RUN, "--dry-run").out
        assert not fetched(Path())
        assert wbfiles("rm", RUN, "--all", "-n").code == 0
        assert left(wandb_server) == set(FILES)


COMMANDS = [["ls", RUN], ["get", RUN, "-o", "data"], ["du", RUN], ["rm", RUN, "--all", "-n"], ["--help"]]
"""Commands that exit with 0 if all streams are in order."""

Redirected = Callable[..., tuple[int, str, str]]


@pytest.fixture
def redirected(wandb_server: LocalServer, tmp_path: Path) -> Redirected:
    """Run a command with redirected streams; return exit code, stdout and stderr."""
    wandb_server.add_file(RUN, "a.txt", b"a" * MIB)

    def run(arguments: list[str], redirections: str) -> tuple[int, str, str]:
        child = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *WBFILES, *arguments],
            cwd=tmp_path, env=environment(wandb_server), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return child.returncode, child.stdout, child.stderr

    return run


class TestStreams:
    @pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
    @pytest.mark.parametrize("redirections", ["<&- 2>&-"])
    def test_unneeded_streams_may_be_closed(
        self, redirected: Redirected, arguments: list[str], redirections: str
    ) -> None:
        code, out, err = redirected(arguments, redirections)
        assert code == 0
        assert out
        assert "Traceback" not in err

    @pytest.mark.parametrize(("arguments", "code"), [(["ls", RUN], 1), (["du", RUN], 1), (["cat", RUN, "a.txt"], 1)])
    def test_unwritable_result_is_a_failure(self, redirected: Redirected, arguments: list[str], code: int) -> None:
        assert redirected(arguments, ">&-") == (code, "", "wbfiles: stdout is closed.\n")

    def test_files_are_downloaded_with_all_streams_closed(self, redirected: Redirected, tmp_path: Path) -> None:
        assert redirected(["get", RUN, "-o", "data"], "<&- >&- 2>&-") == (0, "", "")
        assert (tmp_path / "data/a.txt").read_bytes() == b"a" * MIB

    @pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
    def test_full_disk_under_stdout_is_reported_once(self, redirected: Redirected, arguments: list[str]) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        assert redirected(arguments, ">/dev/full") == (1, "", "wbfiles: No space left on device\n")

    def test_full_disk_under_stderr_is_not_a_failure(self, redirected: Redirected, tmp_path: Path) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        assert redirected(["get", RUN, "-o", "data"], "2>/dev/full") == (0, f"a.txt\t{MIB}\tdownloaded\n", "")
        assert (tmp_path / "data/a.txt").read_bytes() == b"a" * MIB

    @pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
    @pytest.mark.parametrize("size", [(1, 1), (0, 0)], ids=str)
    def test_tiny_terminals_work(
        self, wandb_server: LocalServer, tmp_path: Path, arguments: list[str], size: tuple[int, int]
    ) -> None:
        wandb_server.add_file(RUN, "a.txt", b"a")
        with Terminal(arguments, environment(wandb_server), tmp_path, size=size) as terminal:
            assert terminal.read_to_end() == 0
        assert "Traceback" not in terminal.raw


class TestOptionsOfTransfers:
    """Every argument of the Python API has an option of the command line."""

    GIVEN = (
        *("--connections", "3", "--part-size", "1M", "--no-verify", "--no-resume", "--durable", "--no-remember"),
        *("--connect-timeout", "4", "--stall-seconds", "5.5", "--stall-bytes", "2k", "--limit-rate", "9M"),
        *("--api-requests", "2.5"),
        *("--retries", "6", "--time-budget", "7", "--private-stores", "--insecure-stores", "--portable-names"),
    )
    MEANT = TransferOptions(
        connections=3,
        part_size=1 << 20,
        verify=False,
        resume=False,
        durable=True,
        remember=False,
        connect_timeout=4,
        stall_seconds=5.5,
        stall_bytes=2048,
        limit_rate=9 << 20,
        api_requests=2.5,
        attempts=7,
        time_budget=7,
        private_stores=True,
        insecure_stores=True,
        portable_names=True,
    )

    def test_each_has_an_option_of_its_name(self) -> None:
        names = {option for parameter in program.commands["get"].params for option in parameter.opts}
        spelt = {"attempts": "--retries", "verify": "--no-verify", "resume": "--no-resume", "remember": "--no-remember"}
        for field in attrs.fields(TransferOptions):
            assert spelt.get(field.name, "--" + field.name.replace("_", "-")) in names

    def test_each_option_is_passed_on(self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[TransferOptions] = []
        real = Common.open_api

        def noted(common: Common) -> AsyncApi:
            api = real(common)
            seen.append(api._gateway.options)
            return api

        monkeypatch.setattr(Common, "open_api", noted)
        assert wbfiles("get", RUN, "config.yaml", *self.GIVEN).code == 0
        assert wbfiles("get", RUN, "config.yaml").code == 0
        assert seen == [self.MEANT, TransferOptions()]
        assert all(
            getattr(self.MEANT, field.name) != getattr(TransferOptions(), field.name)
            for field in attrs.fields(TransferOptions)
        )

    @pytest.mark.parametrize("arguments", [["cat", RUN, "config.yaml"], ["get", RUN, "config.yaml"]])
    def test_store_options_apply_to_reading_commands(
        self, wandb_server: LocalServer, tmp_path: Path, arguments: list[str]
    ) -> None:
        wandb_server.add_file(RUN, "config.yaml", b"lr: 0.1")
        options = ["--private-stores", "--insecure-stores", "--connect-timeout", "5", "--stall-seconds", "5"]
        command = [*WBFILES, *arguments, *options, "--stall-bytes", "1", "--time-budget", "60"]
        subprocess.run(command, cwd=tmp_path, env=environment(wandb_server), check=True, timeout=60)

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("--part-size", "10", "--part-size must be a whole number of bytes, 65536 (64 KiB) or more"),
            ("--part-size", "much", "'much' is not a number of bytes"),
            ("--stall-seconds", "0", "Invalid value for '--stall-seconds'"),
            ("--per-page", "0", "Invalid value for '--per-page'"),
        ],
    )
    def test_invalid_values_are_usage_errors(self, wbfiles: Wbfiles, option: str, value: str, message: str) -> None:
        ending = wbfiles("get", RUN, option, value)
        assert (ending.code, ending.out) == (2, "")
        assert message in ending.err

    def test_portable_names_are_refused_by_a_process(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        wandb_server.add_file(SECOND, "loss: train.png", b"png")
        for options, code in (([], 0), (["--portable-names", "--existing", "replace"], 1)):
            done = subprocess.run(
                [*WBFILES, "get", SECOND, *options], cwd=tmp_path, env=environment(wandb_server), timeout=60,
                capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == code, done.stderr
        assert "loss: train.png" in done.stderr

    def test_library_advice_names_command_line_options(self) -> None:
        """Messages that mention a Python argument name the option instead."""
        advice = {text for text in advice_in_messages() if "TransferOptions" in text or "per_page" in text}
        assert len(advice) >= 5
        options = {option for parameter in program.commands["get"].params for option in parameter.opts}
        for text in advice:
            shown = in_options(text)
            assert "TransferOptions" not in shown
            named = set(re.findall(r"--[a-z-]+", shown))
            assert named
            assert named <= options

    def test_refused_private_store_names_the_option(self) -> None:
        error = TransferError("a: it lies elsewhere, use TransferOptions(private_stores=True).", name="a")
        assert explain(error) == "a: it lies elsewhere, use --private-stores."


def advice_in_messages() -> set[str]:
    """Return the string literals of the package, without docstrings and the command line's."""
    texts: set[str] = set()
    for path in Path(wbfiles_async.__file__).parent.rglob("*.py"):
        if {"testing", "_cli"} & set(path.parts):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
            and " " in node.value
        }  # fmt: skip
    return texts


class TestPageSize:
    @pytest.mark.parametrize(("command", "more"), [("ls", []), ("get", []), ("du", []), ("rm", ["--all", "--yes"])])
    def test_page_size_applies_to_files(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, command: str, more: list[str]
    ) -> None:
        def pages(*options: str) -> int:
            before = len(wandb_server.requests)
            assert wbfiles(command, RUN, *more, *options).code == 0
            operations = [request.operation for request in wandb_server.requests[before:]]
            return operations.count("RunFiles")

        few = pages("--per-page", "1")
        for name, data in FILES.items():
            wandb_server.add_file(RUN, name, data)
        assert few - pages() >= len(FILES) - 1

    def test_page_size_applies_to_runs(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        for run in (SECOND, "team/project/run3"):
            wandb_server.add_file(run, "a", b"a")
        assert wbfiles("ls", "team/project/", "--per-page", "1").code == 0
        assert [request.operation for request in wandb_server.requests].count("Runs") == 3

    def test_page_size_does_not_apply_to_named_runs(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("get", RUN, "--run", SECOND, "--per-page", "5")
        assert (ending.code, ending.out) == (2, "")
        assert "--per-page is for one run or a project" in ending.err


@pytest.mark.parametrize("command", ["ls", "get", "cat", "rm", "du", "serve", "demo"])
def test_help_is_grouped_and_fits(wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ending = wbfiles(command, "--help")
    assert ending.code == 0
    assert max(map(len, ending.lines)) <= 80
    groups = [line[:-1] for line in ending.lines if line.endswith(":") and line[0] != " "]
    assert groups == [group for group in ORDER if group in groups]
    assert groups[-1] == "Output"


class TestServe:
    def test_serve_options_configure_the_server(self, tmp_path: Path) -> None:
        (tmp_path / "team/project/run").mkdir(parents=True)
        (tmp_path / "team/project/run/a.txt").write_bytes(b"a")
        with socket.create_server(("127.0.0.1", 0)) as free:
            store_port = free.getsockname()[1]
        options = ["--allowed-host", "files.example", "--store-port", str(store_port), "--entity", "team"]
        command = [*WBFILES, "serve", str(tmp_path), *options, "--url-lifetime", "77"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            try:
                url, key = exported(server.stdout)
                api = Api(base_url=url, api_key=key)
                file = api.run("project/run").file("a.txt")
                assert file.read_bytes() == b"a"
                assert f":{store_port}/" in (file.direct_url or "")
                assert "77" in str(httpx.URL(file.direct_url or "").params)
                codes = {
                    host: httpx.post(f"{url}/graphql", json={}, headers={"Host": host}).status_code
                    for host in ("files.example", "other.example")
                }
            finally:
                server.terminate()
        assert server.returncode == 0
        assert codes["other.example"] == 421
        assert codes["files.example"] != 421
