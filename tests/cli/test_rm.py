"""``wbfiles rm``: deletions, questions and reports."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from terminal import SECONDS, Terminal, environment, started
from test_commands import FILES, RUN, UNSAFE, Ending, Wbfiles
from test_commands import wbfiles as wbfiles

from wbfiles_async import Api
from wbfiles_async._cli import main
from wbfiles_async._graphql.pending_deletions import BATCH
from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._thread import Service

PNGS = {"media/images/a.png", "media/images/b.png"}


def left(server: LocalServer, run: str = RUN) -> set[str]:
    with Api(base_url=server.base_url, api_key=server.api_key) as api:
        return {file.name for file in api.run(run).files()}


class MutatingServer(LocalServer):
    """A server whose deletions are handled by the test; its listings are correct."""

    def __init__(self, root: Path, mutate: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(root)
        self._mutate = mutate

    def _services(self) -> tuple[Service, Service]:
        api, store = super()._services()
        api.app.middlewares.append(self._divert)
        return api, store

    @web.middleware
    async def _divert(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if "mutation" in await request.text():
            return await self._mutate(request, handler)
        return await handler(request)


def refusing(root: Path, status: int, answer: dict[str, object]) -> MutatingServer:
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        return web.json_response(answer, status=status)

    return MutatingServer(root, refuse)


def answering_once(root: Path) -> MutatingServer:
    begun = itertools.count()

    async def answer_the_first(request: web.Request, handler: Handler) -> web.StreamResponse:
        if next(begun):
            await asyncio.Event().wait()
        return await handler(request)

    return MutatingServer(root, answer_the_first)


class TestSelection:
    def test_names_are_deleted_and_listed(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        ending = wbfiles("rm", RUN, *sorted(PNGS), "--yes")
        assert ending.code == 0
        assert ending.lines == ["media/images/a.png\t2000\tdeleted", "media/images/b.png\t3000\tdeleted"]
        assert ending.err.startswith("2 files, 4.9 KiB, deleted in ")
        assert left(wandb_server) == FILES.keys() - PNGS

    @pytest.mark.parametrize(
        ("options", "deleted"),
        [
            (["--include", "*.png", "--exclude", "*/b.*"], {"media/images/a.png"}),
            (["--pattern", "media/%"], PNGS),
            (["--exclude", "*.png"], FILES.keys() - PNGS),
            (["--all"], set(FILES)),
        ],
    )
    def test_options_select_as_for_get(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, options: list[str], deleted: set[str]
    ) -> None:
        assert wbfiles("rm", RUN, "-y", *options).code == 0
        assert left(wandb_server) == FILES.keys() - deleted

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "--all"),
            (["--all", "config.yaml"], "not both"),
            (["--all", "--include", "*"], "not both"),
            (["config.yaml", "--include", "*"], "not both"),
            (["--include", ""], "pattern"),
        ],
    )
    def test_selection_is_required(
        self, wbfiles: Wbfiles, wandb_server: LocalServer, arguments: list[str], message: str
    ) -> None:
        ending = wbfiles("rm", RUN, "--yes", *arguments)
        assert (ending.code, ending.out) == (2, "")
        assert message in ending.err
        assert left(wandb_server) == set(FILES)

    def test_dry_run_neither_asks_nor_deletes(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        ending = wbfiles("rm", RUN, "--all", "--dry-run")
        assert ending.code == 0
        assert sorted(ending.lines) == sorted(f"{name}\t{len(data)}\tplanned" for name, data in FILES.items())
        assert ending.err == "4 files, 9.0 MiB, would be deleted.\n"
        assert left(wandb_server) == set(FILES)

    def test_missing_names_are_reported_and_others_deleted(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        some = wbfiles("rm", RUN, "config.yaml", "absent.txt", "--yes")
        assert some.code == 1
        assert some.lines == ["config.yaml\t8\tdeleted"]
        assert "has no file 'absent.txt'" in some.err
        assert left(wandb_server) == FILES.keys() - {"config.yaml"}
        none = wbfiles("rm", RUN, "absent.txt", "--yes")
        assert (none.code, none.out) == (4, "")
        assert "deleted" not in none.err

    def test_pattern_without_a_match_is_reported(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("rm", RUN, "--include", "*.gif", "--yes")
        assert (ending.code, ending.out) == (4, "")
        assert ending.err == f"wbfiles: the run {RUN} has 4 files, and none of them matches --include '*.gif'.\n"

    def test_missing_run_is_exit_code_4(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("rm", "team/project/other", "--all", "--yes")
        assert ending.code == 4
        assert "team/project/other" in ending.err


class TestOutput:
    def test_json_has_a_line_per_file_and_a_summary(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(RUN, UNSAFE, b"x")
        ending = wbfiles("rm", RUN, "--json", "--yes", "config.yaml", UNSAFE, "absent")
        assert (ending.code, ending.err) == (1, "")
        *results, last = ending.objects
        described = {each.pop("name"): each for each in results}
        assert described["config.yaml"] == {"status": "deleted", "size": 8, "error": None}
        assert described[UNSAFE] == {"status": "deleted", "size": 1, "error": None}
        assert described["absent"]["error"]["type"] == "RemoteFileNotFoundError"
        summary = last["summary"]
        assert (summary["files"], summary["deleted"], summary["failed"], summary["bytes"]) == (3, 2, 1, 9)

    def test_quiet_prints_nothing(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("rm", RUN, "--all", "--yes", "--quiet")
        assert (ending.code, ending.out, ending.err) == (0, "", "")

    def test_control_characters_of_names_are_escaped(self, wbfiles: Wbfiles, wandb_server: LocalServer) -> None:
        wandb_server.add_file(RUN, UNSAFE, b"x")
        ending = wbfiles("rm", RUN, "--include", "evil*", "--yes")
        assert ending.out == "evil\\x1b[31m\\n.txt\t1\tdeleted\n"

    def test_undeleted_files_are_named(self, wbfiles: Wbfiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with refusing(tmp_path / "kept", 200, {"data": {"deleteFiles": {"success": False}}}) as server:
            for number in range(12):
                server.add_file(RUN, f"{number:02}", b"x")
            monkeypatch.setenv("WANDB_BASE_URL", server.base_url)
            plain = wbfiles("rm", RUN, "--all", "--yes")
            exact = wbfiles("rm", RUN, "--all", "--yes", "--json")
        assert (plain.code, plain.out) == (1, "")
        assert "12 of 12 files failed:\n  00\n  01\n" in plain.err
        assert "\n  09\n    the server did not confirm" in plain.err, "the reason that they share is told once"
        assert "and 2 more; --json lists all." in plain.err
        assert plain.err.endswith("Run the same command again to continue with what is left.\n")
        assert {each["status"] for each in exact.objects[:-1]} == {"failed"}
        assert exact.code == 1

    @pytest.mark.parametrize("status", [401, 403])
    def test_missing_permission_is_reported_in_one_line(
        self, wbfiles: Wbfiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        with refusing(tmp_path / "kept", status, {"errors": [{"message": "permission denied"}]}) as server:
            server.add_file(RUN, "a", b"x")
            monkeypatch.setenv("WANDB_BASE_URL", server.base_url)
            ending = wbfiles("rm", RUN, "--all", "--yes")
        assert (ending.code, ending.out) == (3, "")
        assert len(ending.err.splitlines()) == 1
        assert ending.err.startswith("wbfiles: ")


class TestConfirmation:
    def test_no_terminal_refuses_before_any_request(self, wbfiles: Wbfiles, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
        ending = wbfiles("rm", RUN, "config.yaml")
        assert (ending.code, ending.out) == (2, "")
        assert ending.err.startswith("wbfiles: rm needs a terminal to ask on: give --yes")

    @pytest.fixture
    def run(self, wandb_server: LocalServer) -> LocalServer:
        for number in range(12):
            wandb_server.add_file(RUN, f"{number:02}.txt", bytes(1024))
        return wandb_server

    def test_question_states_count_size_and_run(self, run: LocalServer, tmp_path: Path) -> None:
        with Terminal(["rm", RUN, "--all"], environment(run), tmp_path) as terminal:
            terminal.read_until(lambda text: "[y/N]" in text)
            *names, more, question = terminal.text.splitlines()
            assert names == [f"  {number:02}.txt" for number in range(10)]
            assert more == "  and 2 more"
            assert question.startswith(f"Delete 12 files, 12.0 KiB, of {RUN}?")
            assert len(question) < 80
            run.add_file(RUN, "late.txt", b"added after the question")
            terminal.type(b"y\n")
            assert terminal.read_to_end() == 0
        assert "12 files, 12.0 KiB, deleted in " in terminal.text
        assert left(run) == {"late.txt"}

    @pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"\n", 1), (b"\x03", 130), (b"\x04", 130)])
    def test_any_other_answer_deletes_nothing(self, run: LocalServer, tmp_path: Path, answer: bytes, code: int) -> None:
        with Terminal(["rm", RUN, "00.txt"], environment(run), tmp_path) as terminal:
            terminal.read_until(lambda text: "[y/N]" in text)
            terminal.wait_for_a_read()
            terminal.type(answer)
            assert terminal.read_to_end() == code
        assert len(left(run)) == 12
        assert "Traceback" not in terminal.text

    def test_nothing_to_delete_needs_no_confirmation(self, run: LocalServer, tmp_path: Path) -> None:
        with Terminal(["rm", RUN, "--include", "*.gif"], environment(run), tmp_path) as terminal:
            assert terminal.read_to_end() == 4
        assert "none of them matches --include '*.gif'" in " ".join(terminal.text.split())
        assert "[y/N]" not in terminal.text

    def test_hidden_question_is_not_asked(self, run: LocalServer, tmp_path: Path) -> None:
        with started(["rm", RUN, "--all"], run, tmp_path) as child:
            _, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 2
        assert "--yes" in err
        assert len(left(run)) == 12


class TestInterruption:
    def test_ctrl_c_reports_what_was_deleted(self, tmp_path: Path) -> None:
        with answering_once(tmp_path / "served") as server:
            for number in range(BATCH * 8):
                server.add_file(RUN, f"{number:04}", b"")
            with started(["rm", RUN, "--all", "--yes"], server, tmp_path) as child:
                assert child.stdout is not None
                lines = [child.stdout.readline() for _ in range(BATCH)]
                child.send_signal(signal.SIGINT)
                more, err = child.communicate(timeout=SECONDS)
        assert lines[-1].endswith("\tdeleted\n")
        assert (child.returncode, more) == (130, "")
        assert err == (
            "wbfiles: stopped with 100 of 800 files deleted; those under way may be gone too.\n"
            "Run the same command again to continue with what is left.\n"
        )

    def test_closed_pipe_still_reports_what_was_deleted(self, wandb_server: LocalServer, tmp_path: Path) -> None:
        for number in range(600):
            wandb_server.add_file(RUN, f"{number:04}-{'x' * 200}", b"")
        with started(["rm", RUN, "--all", "--yes"], wandb_server, tmp_path) as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.stdout.close()
            assert child.stderr is not None
            assert child.stderr.read() == ""
            assert child.wait(SECONDS) == 141


def test_terminal_shows_a_count_instead_of_lines(wandb_server: LocalServer, tmp_path: Path) -> None:
    for number in range(BATCH + 1):
        wandb_server.add_file(RUN, f"{number:03}", b"")
    with Terminal(["rm", RUN, "--all", "--yes"], environment(wandb_server), tmp_path) as terminal:
        assert terminal.read_to_end() == 0
    assert "\tdeleted" not in terminal.text
    assert terminal.text.splitlines()[-1].startswith(f"{BATCH + 1} files, 0 B, deleted in ")
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l"), "the cursor is shown again"


PROJECT = "team/project"


class TestProject:
    @pytest.fixture
    def runs(self, wandb_server: LocalServer) -> LocalServer:
        for run in ("run1", "run2", "run3"):
            for name, size in (("config.yaml", 10), ("media/a.png", 2048), ("media/b.png", 1024)):
                wandb_server.add_file(f"{PROJECT}/{run}", name, bytes(size))
        wandb_server.add_file("team/other/run1", "media/a.png", b"of another project")
        return wandb_server

    @pytest.fixture
    def wbfiles(
        self,
        runs: LocalServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> Wbfiles:
        monkeypatch.setenv("WANDB_BASE_URL", runs.base_url)
        monkeypatch.setenv("WANDB_API_KEY", runs.api_key)
        monkeypatch.chdir(tmp_path)

        def call(*arguments: str) -> Ending:
            capsys.readouterr()
            code = main(arguments)
            out, err = capsys.readouterr()
            return Ending(code, out, err)

        return call

    def left(self, server: LocalServer) -> set[str]:
        with Api(base_url=server.base_url, api_key=server.api_key) as api:
            return {f"{file.run.id}/{file.name}" for file in api.runs(PROJECT).files() if file.run}

    def test_patterns_delete_from_all_runs(self, wbfiles: Wbfiles, runs: LocalServer) -> None:
        ending = wbfiles("rm", f"{PROJECT}/", "--include", "media/*", "--exclude", "*/b.png", "--yes")
        assert ending.code == 0
        assert sorted(ending.lines) == [f"run{n}/media/a.png\t2048\tdeleted" for n in (1, 2, 3)]
        assert ending.err.startswith("3 files, 6.0 KiB, deleted in ")
        assert len(self.left(runs)) == 6
        assert left(runs, "team/other/run1") == {"media/a.png"}

    def test_names_and_filters_select(self, wbfiles: Wbfiles, runs: LocalServer) -> None:
        filters = '{"name": {"$in": ["run1", "run3"]}}'
        ending = wbfiles("rm", PROJECT, "config.yaml", "absent", "--filters", filters, "--yes", "--json")
        *results, last = ending.objects
        assert ending.code == 1
        assert [each.get("run") for each in results] == [f"{PROJECT}/run1", f"{PROJECT}/run3", None]
        assert (last["summary"]["deleted"], last["summary"]["failed"]) == (2, 1)
        assert "run2/config.yaml" in self.left(runs)

    def test_dry_run_shows_and_deletes_nothing(self, wbfiles: Wbfiles, runs: LocalServer) -> None:
        ending = wbfiles("rm", f"{PROJECT}/", "--all", "-n")
        assert (ending.code, len(ending.lines)) == (0, 9)
        assert ending.err == "9 files, 9.0 KiB, would be deleted.\n"
        assert len(self.left(runs)) == 9

    def test_path_without_slash_is_a_run(self, wbfiles: Wbfiles, runs: LocalServer) -> None:
        ending = wbfiles("rm", PROJECT, "--include", "*.png", "--yes")
        assert ending.code == 4
        assert len(self.left(runs)) == 9

    @pytest.mark.parametrize(
        "chosen", [["--all"], ["--include", "*"], ["--include", "*.png", "--include", "?*"], ["--exclude", "*.png"]]
    )
    def test_deleting_a_project_requires_its_name(self, wbfiles: Wbfiles, runs: LocalServer, chosen: list[str]) -> None:
        ending = wbfiles("rm", f"{PROJECT}/", *chosen, "--yes")
        assert (ending.code, ending.out) == (2, "")
        assert f"--yes-delete-everything-in {PROJECT}" in ending.err
        other = wbfiles("rm", f"{PROJECT}/", *chosen, "--yes", "--yes-delete-everything-in", "team/other")
        assert (other.code, other.out) == (2, "")
        assert len(self.left(runs)) == 9
        named = wbfiles("rm", f"{PROJECT}/", *chosen, "--yes-delete-everything-in", PROJECT)
        assert named.code == 0
        assert len(self.left(runs)) == (6 if "--exclude" in chosen else 0)
        assert left(runs, "team/other/run1") == {"media/a.png"}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([f"{PROJECT}/", "--yes"], "Say which files"),
            ([f"{PROJECT}/", "--all", "--include", "*.png", "--yes"], "not both"),
            ([f"{PROJECT}/", "--pattern", "%", "--yes"], "use --include"),
            ([f"{PROJECT}/", "--include", "*.png"], "terminal to ask on"),
            ([f"{PROJECT}/", "--include", "*.png", "--yes-delete-everything-in", PROJECT], "give --yes"),
            ([f"{PROJECT}/run1", "--all", "--yes-delete-everything-in", PROJECT], "give --yes"),
        ],
    )
    def test_project_selection_is_required(
        self, wbfiles: Wbfiles, runs: LocalServer, arguments: list[str], message: str
    ) -> None:
        ending = wbfiles("rm", *arguments)
        assert (ending.code, ending.out) == (2, "")
        assert message in " ".join(ending.err.split())
        assert len(self.left(runs)) == 9

    def test_pattern_without_a_match_is_reported(self, wbfiles: Wbfiles) -> None:
        ending = wbfiles("rm", f"{PROJECT}/", "--include", "*.gif", "--yes")
        assert (ending.code, ending.out) == (4, "")
        assert "has 3 runs, and none of their files matches --include '*.gif'" in ending.err

    def test_question_states_the_amount(self, runs: LocalServer, tmp_path: Path) -> None:
        arguments = ["rm", f"{PROJECT}/", "--include", "media/*", "--include", "*.yaml"]
        with Terminal(arguments, environment(runs), tmp_path) as terminal:
            terminal.read_until(lambda text: "[y/N]" in text)
            lines = [" ".join(line.split()) for line in terminal.text.splitlines() if not line.startswith("\x1b")]
            assert "9.0 KiB 6 files media/" in lines
            assert "30 B 3 files config.yaml" in lines
            runs.add_file(f"{PROJECT}/run2", "media/late.png", b"added after the question")
            terminal.type(b"y\n")
            assert terminal.read_to_end() == 0
        assert "Delete 9 files, 9.0 KiB, of 3 runs of team/project?" in " ".join(terminal.text.split())
        assert self.left(runs) == {"run2/media/late.png"}

    @pytest.mark.parametrize(("answer", "code"), [(b"y\n", 1), (b"\n", 1), (b"project\n", 1), (b"team/project\n", 0)])
    def test_typed_project_name_confirms_deletion(
        self, runs: LocalServer, tmp_path: Path, answer: bytes, code: int
    ) -> None:
        with Terminal(["rm", f"{PROJECT}/", "--all"], environment(runs), tmp_path) as terminal:
            terminal.read_until(lambda text: "to delete them" in text)
            terminal.type(answer)
            assert terminal.read_to_end() == code
        assert len(self.left(runs)) == (9 if code else 0)

    def test_interrupted_deletion_reports_progress_and_can_be_repeated(self, tmp_path: Path) -> None:
        with answering_once(tmp_path / "held") as server:
            for number in range(300):
                server.add_file(f"{PROJECT}/run{number % 7}", f"media/{number}.png", b"")
            with started(["rm", f"{PROJECT}/", "--include", "media/", "--yes"], server, tmp_path) as child:
                assert child.stdout is not None
                for _ in range(BATCH):
                    assert child.stdout.readline().endswith("\tdeleted\n")
                child.send_signal(signal.SIGINT)
                _, err = child.communicate(timeout=SECONDS)
            assert child.returncode == 130
            assert err.startswith("wbfiles: stopped with 100 of 300 files deleted")
            folder = server.root
        with LocalServer(folder) as server:
            with started(["rm", f"{PROJECT}/", "--include", "media/", "--yes"], server, tmp_path) as child:
                out, _ = child.communicate(timeout=SECONDS)
            assert child.returncode == 0
            assert len(out.splitlines()) == 200
            assert self.left(server) == set()
